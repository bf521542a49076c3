"""The shipped batch files in a real Slurm with real Ray: whole searches, signals, and nodes that others use too."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.support.compare_studies import contradictions
from tests.support.command import aib, answer
from tests.support.free_port import free_ports
from tests.support.server_searches import write_spec
from tests.support.slurm import Job, Slurm, slurm

pytestmark = [pytest.mark.minutes, pytest.mark.ray, pytest.mark.server, pytest.mark.timeout(1500)]

ON_CPUS, ON_GPUS = "cluster/slurm/search_cpu.sbatch", "cluster/slurm/search.sbatch"
# No trial reaches it: the gate has nothing to accept.
REFUSED = ("--set", "constraints=[{metric: val_attention_std, at_least: 0.9}]")
LONG = ("--set", "trials=40")
ENOUGH = ("--set", "trials=4")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Two nodes as the batch files ask for them; both are this machine."""
    with slurm(tmp_path_factory.mktemp("slurm"), num_nodes=2, cpus=32, gpus=4) as running:
        yield running


class Search:
    """One search as a job, with a root of its own."""

    def __init__(self, cluster: Slurm, folder: Path, file: str, name: str, *options: str) -> None:
        self.root, self.name = folder / name, name
        self.root.mkdir(exist_ok=True)
        settings = {"AIB_ROOT": str(self.root), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        # Ray starts as many idle workers as it has CPUs, and this machine has fewer than the nodes of the test. It also
        # kills workers for the memory of the machine's other programs.
        settings |= {"RAY_prestart_worker_first_driver": "0", "RAY_memory_monitor_refresh_ms": "0"}
        where = ["--nodelist=n1"] if file == ON_CPUS else []
        spec = str(write_spec(folder, name))
        self.job: Job = cluster.sbatch(*where, file, spec, *options, log=folder / f"{name}.out", **settings)

    def epochs(self) -> int:
        journal = self.root / "studies" / self.name / "journal.jsonl"
        return sum(json.loads(line)["event"] == "epoch" for line in journal.open()) if journal.exists() else 0

    def until_it_trains(self) -> None:
        self.job.until(lambda: self.epochs() > 0)


@contextmanager
def foreign_ray(cluster: Slurm, folder: Path) -> Iterator[Job]:
    """Another user's Ray on the first node: with all of Ray's usual ports but those that other tests may use."""
    port, client_port = free_ports(2)
    # Ray's sockets are in here, and the path of a socket has at most 107 characters.
    with TemporaryDirectory(prefix="aib-ray-", ignore_cleanup_errors=True) as files:
        command = f"RAY_AUTH_MODE=disabled exec .venv/bin/ray start --head --block --num-cpus=1 --port={port}"
        command += f" --ray-client-server-port={client_port} --disable-usage-stats --temp-dir={files}"
        job = cluster.sbatch("--nodelist=n1", "--cpus-per-task=1", f"--wrap={command}", log=folder / "foreign.out")
        job.until(lambda: "Ray runtime started" in job.said())
        yield job
        cluster.command("scancel", job.id)
        job.until_ended(60)


def test_searches_on_a_shared_node_end_alone_and_a_refusal_by_the_gate_is_no_failure(
    cluster: Slurm, tmp_path: Path
) -> None:
    with foreign_ray(cluster, tmp_path) as others:
        run_beside(cluster, tmp_path, others)


def run_beside(cluster: Slurm, tmp_path: Path, others: Job) -> None:
    """Two searches: one is cancelled, which leaves the other one and `others` alone."""
    refused = Search(cluster, tmp_path, ON_CPUS, "refused", *REFUSED)
    cancelled = Search(cluster, tmp_path, ON_CPUS, "cancelled", *LONG)
    cancelled.until_it_trains()
    cancelled.job.signal_script("USR1")
    cancelled.job.signal_script("TERM")
    assert cancelled.job.until_ended() == ("FAILED", "143:0"), cancelled.job.said()
    assert cancelled.job.field("Restarts") == "0", "who cancels a job does not want it queued again"
    assert "continue with: aib search cancelled --resume" in cancelled.job.said()

    assert refused.job.until_ended() == ("COMPLETED", "0:0"), refused.job.said()
    assert aib(refused.root, "status", "refused").stdout.startswith("refused: done, gate refused\n")
    assert others.field("JobState") == "RUNNING", others.said()
    assert "exited unexpectedly" not in others.said()
    assert not list(tmp_path.rglob("ray_token")), "the token outlives its job"
    assert not [one for job in (refused, cancelled) for one in Path("/tmp").glob(f"aib-{job.job.id}-*")]


@pytest.mark.parametrize(("name", "restarts"), [("TERM", "0"), ("USR1", "1")])
def test_a_signal_while_ray_starts_ends_the_job_before_it_searches(
    cluster: Slurm, tmp_path: Path, name: str, restarts: str
) -> None:
    search = Search(cluster, tmp_path, ON_CPUS, "early")
    search.job.until(lambda: any(search.root.rglob("ray_token")))
    search.job.signal_script(name)
    search.job.until(lambda: search.job.field("JobState") != "RUNNING", 60)
    assert not (search.root / "studies").exists(), search.job.said()
    search.job.until(lambda: search.job.field("Restarts") == restarts, 60)
    if restarts == "0":
        assert search.job.until_ended(60) == ("FAILED", "143:0"), search.job.said()
    else:
        cluster.command("scancel", search.job.id)
        search.job.until_ended(60)
    assert not list(Path("/tmp").glob(f"aib-{search.job.id}-*")), "Ray's files outlive their job"


def test_near_its_limit_a_search_on_two_nodes_queues_again_and_goes_on(cluster: Slurm, tmp_path: Path) -> None:
    search = Search(cluster, tmp_path, ON_GPUS, "requeued", *ENOUGH)
    search.until_it_trains()
    search.job.signal_script("USR1")
    search.job.until(lambda: search.job.field("Restarts") == "1", 60)
    before = search.epochs()
    assert search.job.until_ended() == ("COMPLETED", "0:0"), search.job.said()
    assert search.epochs() > before
    assert contradictions(search.root, "requeued") == []
    status = answer(search.root, "status", "requeued")
    assert (status["stage"], status["exit_code"], status["trials"]["completed"]) == ("done", 0, 4)


def test_what_ends_every_process_of_a_job_leaves_a_study_that_resumes(cluster: Slurm, tmp_path: Path) -> None:
    search = Search(cluster, tmp_path, ON_CPUS, "killed")
    search.until_it_trains()
    cluster.command("scancel", search.job.id)
    assert search.job.until_ended(60)[0] == "CANCELLED", search.job.said()
    assert search.job.field("Restarts") == "0"
    assert not list(Path("/tmp").glob(f"aib-{search.job.id}-*"))
    status = answer(search.root, "status", "killed")
    assert (status["driver_running"], status["exit_code"]) == (False, None)
    resumed = Search(cluster, tmp_path, ON_CPUS, "killed")
    assert resumed.job.until_ended() == ("COMPLETED", "0:0"), resumed.job.said()
    assert contradictions(search.root, "killed") == []
