"""A whole search while its processes are killed, while the network drops calls, and on a full disk; its record is
complete."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.systems.recovery import processes
from tests.orchestrator.workflow.test_search_end_to_end import SPEC, check_record
from tests.orchestrator.workflow.test_search_on_nodes import WAIT_S, events, start_search, wait_for
from tests.support.command import aib, answer, environment
from tests.support.full_disk import small_disk
from tests.support.nodes import kill_family
from tests.support.own_cluster import own_cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]
BLIPS = {
    call: {"num_failures": times, "req_failure_prob": 2, "resp_failure_prob": 2, "in_flight_failure_prob": 2}
    for call, times in {
        "CoreWorkerService.grpc_client.PushTask": 20,
        "NodeManagerService.grpc_client.RequestWorkerLease": 20,
        "InternalKVGcsService.grpc_client.InternalKVGet": 20,
        "InternalKVGcsService.grpc_client.InternalKVPut": 20,
    }.items()
}


def epochs_told(journal: Path) -> list[tuple[str, int]]:
    return [(one["trial"], int(one["metrics"]["epoch"])) for one in events(journal) if one["event"] == "epoch"]


def finish(driver: "subprocess.Popen[str]", log: Path, root: Path, journal: Path, trials: int = 4) -> None:
    said, _ = driver.communicate(timeout=WAIT_S)
    assert driver.returncode == 0, log.read_text()
    check_record(root, json.loads(said), trials)
    assert max(Counter(epochs_told(journal)).values()) == 1, "each epoch is told once"


@pytest.mark.minutes
def test_a_search_outlives_its_trials_actor_its_slot_and_its_train_controller(root: Path, tmp_path: Path) -> None:
    spec, log = tmp_path / "tiny.yaml", tmp_path / "driver.log"
    spec.write_text(SPEC)
    journal = root / "studies" / "tiny" / "journal.jsonl"
    with own_cluster(tmp_path) as cluster:
        cluster.start_head(1)
        driver = start_search(cluster, root, spec, log)
        try:
            for titles in (("ray::ResourceTrainable", "ray::Trial"), ("ray::Slot",), ("ray::TrainController",)):
                before = len(epochs_told(journal))
                wait_for(lambda before=before: len(epochs_told(journal)) > before + 3, driver, log)  # type: ignore[misc]
                hit = processes(titles)
                assert hit, f"no process is called {titles}"
                for process in hit:
                    process.send_signal(signal.SIGKILL)
            finish(driver, log, root, journal)
        finally:
            if driver.poll() is None:
                kill_family(driver)  # type: ignore[arg-type]
        until(lambda: not processes(("ray::RayTrainWorker", "ray::Slot", "ray::TrainController")))


@pytest.mark.parametrize(
    ("trials", "epochs"),
    [pytest.param(1, 4, id="short"), pytest.param(4, 40, id="long")],
)
@pytest.mark.minutes
def test_a_search_over_a_network_that_drops_calls_tells_every_epoch_once(
    root: Path, tmp_path: Path, trials: int, epochs: int
) -> None:
    spec, log = tmp_path / "tiny.yaml", tmp_path / "driver.log"
    spec.write_text(SPEC)
    journal = root / "studies" / "tiny" / "journal.jsonl"
    with own_cluster(tmp_path) as cluster:
        cluster.environment["RAY_testing_rpc_failure"] = json.dumps(BLIPS)
        cluster.start_head(1)
        cluster.add_node(1)
        driver = start_search(cluster, root, spec, log, "--set", f"trials={trials}", "--set", f"epochs={epochs}")
        try:
            finish(driver, log, root, journal, trials)
        finally:
            if driver.poll() is None:
                kill_family(driver)  # type: ignore[arg-type]


@pytest.mark.minutes
def test_a_search_whose_local_cluster_is_killed_goes_on_by_itself(root: Path, tmp_path: Path) -> None:
    spec, log = tmp_path / "tiny.yaml", tmp_path / "driver.log"
    spec.write_text(SPEC)
    journal = root / "studies" / "tiny" / "journal.jsonl"
    command = [sys.executable, "-m", "orchestrator", "search", str(spec), "--root", str(root), "--json"]
    with log.open("w") as err:
        driver = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=err, text=True)
    try:
        for part in ("gcs_server", "raylet/raylet"):
            before = len(epochs_told(journal)) if journal.exists() else 0
            wait_for(lambda before=before: journal.exists() and len(epochs_told(journal)) > before, driver, log)  # type: ignore[misc]
            family = psutil.Process(driver.pid).children(recursive=True)
            (hit,) = [one for one in family if f"/{part}" in one.cmdline()[0]]
            hit.kill()
            assert psutil.wait_procs(family, timeout=60)[1] == []
        finish(driver, log, root, journal, 6)
    finally:
        if driver.poll() is None:
            kill_family(driver)  # type: ignore[arg-type]
    assert "Ray's GCS on this machine has died" in log.read_text()
    assert "Starting it again and continuing (2 of 3 times)." in log.read_text()


@pytest.mark.minutes
def test_a_search_whose_disk_is_full_halts_without_a_failed_trial_and_goes_on(root: Path, tmp_path: Path) -> None:
    spec, log = tmp_path / "tiny.yaml", tmp_path / "driver.log"
    spec.write_text(SPEC)
    with small_disk("tmpfs", root / "studies", megabytes=64) as disk:
        journal = disk.path / "tiny" / "journal.jsonl"
        command = [sys.executable, "-m", "orchestrator", "search", str(spec), "--root", str(root)]
        with log.open("w") as out:
            driver = subprocess.Popen(command, env=environment(), stdout=out, stderr=out, text=True)
        try:
            wait_for(lambda: journal.exists() and bool(epochs_told(journal)), driver, log)
            with disk.full():
                code = driver.wait(WAIT_S)
        finally:
            if driver.poll() is None:
                kill_family(driver)  # type: ignore[arg-type]
        said = log.read_text()
        assert code == 1, said
        assert "No space left on device" in said
        assert "--resume" in said
        assert "Traceback" not in said
        assert not [one for one in events(journal) if one["event"] == "ended" and one["state"] == "failed"]
        resumed = aib(root, "search", str(spec), "--resume", "--json", timeout_s=WAIT_S)
        assert resumed.returncode == 0, resumed.stderr
        check_record(root, json.loads(resumed.stdout), 6)
        assert {row["state"] for row in answer(root, "trials", "tiny")["trials"]} <= {"completed", "stopped"}


def until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    """Waits: Ray's cleaner may take some time."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "processes are left"
        time.sleep(0.5)
