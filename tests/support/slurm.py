"""A Slurm of a test's own on loopback: munged, slurmctld, and slurmd processes without control groups.

Each slurmd runs in a PID namespace of its own: a job sees the processes of its node and no others, and all of them end
with the namespace.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.free_port import free_ports
from tests.support.repository import ROOT
from tests.support.server_processes import serving, without_ours

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "squeue", "unshare")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
END_S = 60
CONFIG = """
ClusterName=aib-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
# Ids of jobs are in paths under /tmp, and another Slurm of this machine counts too.
FirstJobId={first_job}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
KillWait=30
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def skip_without_slurm() -> None:
    """Skips the test, and says what is missing, where no Slurm can run."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not found: Slurm is not installed (Debian packages slurm-wlm and munge)")
    if os.getuid() != 0:
        pytest.skip("slurmd starts jobs and PID namespaces, which needs root")
    if subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False).returncode != 0:
        pytest.skip("the kernel gives no PID namespace (unshare --pid --fork --mount-proc)")


class Slurm:
    """A running Slurm with nodes `n1`, `n2`, …"""

    def __init__(self, folder: Path) -> None:
        self.environment = {**without_ours(), "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
        # A user's checkout: the deployment files, and the environment that runs this test.
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        (self.checkout / "cluster").symlink_to(ROOT / "cluster")
        (self.checkout / ".venv").symlink_to(sys.prefix)

    def sbatch(self, *arguments: str, log: Path, **environment: str) -> "Job":
        words = ["sbatch", "--parsable", f"--output={log}", *arguments]
        done = self._run(words, {**self.environment, **environment}, cwd=self.checkout)
        return Job(self, done.strip(), log)

    def command(self, *words: str) -> str:
        return self._run(words, self.environment)

    def _run(self, words: Sequence[str], environment: dict[str, str], cwd: Path | None = None) -> str:
        done = subprocess.run(words, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout


class Job:
    """A submitted job."""

    def __init__(self, slurm: Slurm, job_id: str, log: Path) -> None:
        self.id, self.log = job_id, log
        self._slurm = slurm

    def field(self, name: str) -> str:
        """A field of `scontrol show job`, such as JobState, ExitCode or Restarts."""
        text = self._slurm.command("scontrol", "show", "job", self.id)
        found = re.search(rf"\b{name}=(\S+)", text)
        assert found, text
        return found[1]

    def signal_script(self, name: str) -> None:
        """Signals the batch script alone, as Slurm does before the time limit."""
        self._slurm.command("scancel", "--batch", f"--signal={name}", self.id)

    def until(self, reached: Callable[[], bool], timeout_s: float = 400) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not reached():
            assert time.monotonic() < deadline_s, self.said()
            time.sleep(0.3)

    def until_ended(self, timeout_s: float = 700) -> tuple[str, str]:
        """The job's last state and exit code, as in ("COMPLETED", "0:0")."""
        self.until(lambda: self.field("JobState") not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"), timeout_s)
        return self.field("JobState"), self.field("ExitCode")

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else "the job wrote no log"


@contextmanager
def slurm(folder: Path, num_nodes: int, cpus: int, gpus: int = 0) -> Iterator[Slurm]:
    """Runs a Slurm for the time of the block. Its nodes share this machine; CPUs and GPUs are as many as it is told."""
    skip_without_slurm()
    host = socket.gethostname().partition(".")[0]
    controller_port, *node_ports = free_ports(1 + num_nodes)
    first_job = random.SystemRandom().randrange(10_000, 10_000_000)
    names = [f"n{number + 1}" for number in range(num_nodes)]
    gres = f" Gres=gpu:{gpus}" if gpus else ""
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=65536{gres}"
        for name, port in zip(names, node_ports, strict=True)
    )
    (folder / "slurm.conf").write_text(
        CONFIG.format(host=host, first_job=first_job, controller_port=controller_port, folder=folder, nodes=nodes)
    )
    # slurmd counts a GPU for each device file.
    devices = [folder / f"gpu{number}" for number in range(gpus)]
    for device in devices:
        device.touch()
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
    for name in ("munge", "state", *(f"spool-{name}" for name in names)):
        (folder / name).mkdir(mode=0o700)
    running = Slurm(folder)
    with ExitStack() as stack:

        def serve(name: str, *command: str, ready: Callable[[], bool]) -> None:
            log = folder / f"{name}.log"
            stack.enter_context(serving(command, log, ready, env=running.environment, cwd=folder, timeout_s=60))

        munge = folder / "munge"
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o600)
        options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        paths = [f"--{option}={munge / file}" for option, file in options.items()]
        serve("munged", "munged", "--foreground", "--force", *paths, ready=(munge / "socket").exists)
        serve("slurmctld", "slurmctld", "-D", "-f", str(folder / "slurm.conf"), ready=lambda: _answers(running))
        apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        for name in names:
            serve(name, *apart, "slurmd", "-D", "-N", name, ready=lambda name=name: _is_idle(running, name))  # type: ignore[misc]
        yield running
        running.command("scancel", "--user=root")
        deadline_s = time.monotonic() + END_S
        while running.command("squeue", "--noheader") and time.monotonic() < deadline_s:
            time.sleep(0.5)


def _answers(running: Slurm) -> bool:
    return (
        subprocess.run(["scontrol", "ping"], env=running.environment, capture_output=True, check=False).returncode == 0
    )


def _is_idle(running: Slurm, name: str) -> bool:
    return "State=IDLE " in running.command("scontrol", "show", "node", name)
