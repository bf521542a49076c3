"""Faults of the network and of a real MLflow server: no record is lost and none is stored twice."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from mlflow.utils import request_utils

from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.store import configure_mlflow
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.records import CloseStudy, CloseTrial, LogArtifact, LogEpoch, OpenStudy, OpenTrial
from orchestrator.tracking.tracker import TrackerUnavailableError
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.free_port import free_port
from tests.support.mlflow_reader import read_runs
from tests.support.mlflow_server import mlflow_server
from tests.support.recording_tracker import RecordingTracker

pytestmark = pytest.mark.slow

FLUSH_S = 120


class Served(NamedTuple):
    process: subprocess.Popen[bytes]
    uri: str
    """The server's own address."""
    proxy: FaultyProxy
    proxy_uri: str


@pytest.fixture(scope="module")
def served(empty_mlflow_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served")
    shutil.copyfile(empty_mlflow_db, root / "mlflow.db")
    port = free_port()
    with mlflow_server(port, root) as process, faulty_proxy(port) as (proxy, uri):
        yield Served(process, f"http://127.0.0.1:{port}", proxy, uri)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, served: Served) -> Iterator[None]:
    configure_mlflow()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield
    served.proxy.fault, served.proxy.spoilt, served.proxy.applies = "none", 0, lambda path: True


@contextmanager
def recording(uri: str, spool: Path) -> Iterator[BufferedTracker]:
    inner = MlflowTracker(uri, system_metrics=False)
    tracker = BufferedTracker(inner, Spool(spool), first_delay_s=0.02, max_delay_s=0.2, max_attempts=3)
    try:
        yield tracker
    finally:
        tracker.close()


def wait_for(what: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + FLUSH_S
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


def log_epochs(tracker: BufferedTracker, epochs: range, trial: str = "t1") -> float:
    """Logs epochs; returns the longest time of a call in seconds."""
    slowest = 0.0
    for epoch in epochs:
        before = time.monotonic()
        tracker.write(LogEpoch(trial, epoch, {"x": float(epoch), "y": 0.5}, epoch))
        slowest = max(slowest, time.monotonic() - before)
    return slowest


FAULTS: list[tuple[Fault, int]] = [
    ("status", 404),
    ("status", 429),
    ("status", 500),
    ("status", 503),
    ("cut", 0),
    ("unanswered", 0),
    ("login page", 0),
    ("slow", 0),
]


@pytest.mark.parametrize(("fault", "status"), FAULTS, ids=str)
def test_an_outage_of_any_kind_costs_no_record_and_no_waiting(
    served: Served, tmp_path: Path, fault: Fault, status: int
) -> None:
    study = f"outage-{fault}-{status}".replace(" ", "-")
    proxy = served.proxy
    with recording(served.proxy_uri, tmp_path) as tracker:
        tracker.write(OpenStudy(study, "s1", {}, {}))
        tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
        assert log_epochs(tracker, range(2)) < 0.5
        assert tracker.flush(FLUSH_S) == 0
        proxy.status, proxy.fault = status, fault
        assert log_epochs(tracker, range(2, 30)) < 0.5
        tracker.write(OpenTrial("t2", "t2", {}, {}, None))
        log_epochs(tracker, range(3), "t2")
        tracker.write(CloseTrial("t1", "completed", {}, {}))
        # More attempts than a poison record gets before it is set aside; a slow answer needs only one attempt.
        wait_for(lambda: proxy.spoilt > (2 if fault == "slow" else 8), "the fault was never met")
        if fault != "slow":
            assert tracker.num_pending > 0
        proxy.fault = "none"
        assert tracker.flush(FLUSH_S) == 0
        assert tracker.num_rejected == 0
    runs = read_runs(served.uri, study)
    assert set(runs) == {None, "t1", "t2"}
    assert runs["t1"]["history"] == {"x": [(e, float(e)) for e in range(30)], "y": [(e, 0.5) for e in range(30)]}
    assert runs["t1"]["status"] == "FINISHED"
    assert [step for step, _ in runs["t2"]["history"]["x"]] == [0, 1, 2]


@pytest.mark.parametrize("fault", ["unanswered", "late"])
def test_a_run_that_was_created_unseen_is_not_there_twice(served: Served, tmp_path: Path, fault: Fault) -> None:
    study, proxy = f"twice-{fault}", served.proxy
    proxy.applies = lambda path: path.endswith("/runs/create")
    proxy.delay_s = 0.5
    with recording(served.proxy_uri, tmp_path) as tracker:
        for trial in (None, "t1"):
            proxy.fault, before = fault, proxy.spoilt
            if trial is None:
                tracker.write(OpenStudy(study, "s1", {}, {}))
            else:
                tracker.write(OpenTrial(trial, trial, {"a": 1}, {}, None))
            wait_for(lambda before=before: proxy.spoilt > before, "no run was created")
            proxy.fault = "none"
            assert tracker.flush(FLUSH_S) == 0
        for thread in proxy.late:
            thread.join()
        opened = {trial: tracker.run_id(trial) for trial in (None, "t1")}
        log_epochs(tracker, range(3))
        tracker.write(CloseTrial("t1", "completed", {}, {}))
        tracker.write(CloseStudy("completed", {}, {}))
        assert tracker.flush(FLUSH_S) == 0
    runs = read_runs(served.uri, study)
    assert {trial: run["id"] for trial, run in runs.items()} == opened
    assert {run["status"] for run in runs.values()} == {"FINISHED"}
    assert [step for step, _ in runs["t1"]["history"]["x"]] == [0, 1, 2]


def test_a_stopped_server_that_goes_on_with_what_it_had_taken_doubles_nothing(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with recording(served.uri, tmp_path) as tracker:
        tracker.write(OpenStudy("stopped", "s1", {}, {}))
        tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
        assert tracker.flush(FLUSH_S) == 0
        os.killpg(served.process.pid, signal.SIGSTOP)
        try:
            assert log_epochs(tracker, range(10)) < 0.5
            tracker.write(OpenTrial("t2", "t2", {}, {}, None))
            wait_for(lambda: tracker.last_error is not None, "a server that is stopped seemed to answer")
            time.sleep(2)  # so that more requests wait in the kernel for the server
        finally:
            os.killpg(served.process.pid, signal.SIGCONT)
        log_epochs(tracker, range(10, 20))
        tracker.write(CloseTrial("t1", "completed", {}, {}))
        tracker.write(CloseTrial("t2", "completed", {}, {}))
        assert tracker.flush(FLUSH_S) == 0
        assert tracker.num_rejected == 0
    runs = read_runs(served.uri, "stopped")
    assert set(runs) == {None, "t1", "t2"}
    assert runs["t1"]["history"]["x"] == [(e, float(e)) for e in range(20)]


def test_a_kill_after_any_request_of_a_replay_loses_and_doubles_nothing(served: Served, tmp_path: Path) -> None:
    """For every n: kills the replaying process after the answer to its n-th request; another process continues."""
    kills = 0
    while True:
        study, spool = f"replay-{kills}", tmp_path / f"replay-{kills}"
        _left_behind(study, spool)
        killed = _replayed(served.uri, spool, die_after=kills + 1)
        if killed:
            assert not _replayed(served.uri, spool, die_after=None)
        runs = read_runs(served.uri, study)
        assert set(runs) == {None, "t1"}, kills
        assert runs["t1"]["history"] == {"x": [(e, float(e)) for e in range(3)], "y": [(e, 0.5) for e in range(3)]}
        assert {run["status"] for run in runs.values()} == {"FINISHED"}, kills
        assert runs["t1"]["files"] == {"figures/map.png": b"png"}
        assert not (spool / "rejected.jsonl").exists(), kills
        assert not list((spool / "files").iterdir()), kills
        if not killed:
            break
        kills += 1
    assert kills > 10


def _left_behind(study: str, folder: Path) -> None:
    """Leaves the spool of a study that ran while its server was away."""
    away = RecordingTracker()
    away.fail_with = TrackerUnavailableError("away")
    figure = folder.with_name("map.png")
    figure.write_bytes(b"png")
    tracker = BufferedTracker(away, Spool(folder))
    tracker.write(OpenStudy(study, "s1", {}, {}))
    tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
    log_epochs(tracker, range(3))
    tracker.write(LogArtifact("t1", figure, "figures"))
    tracker.write(CloseTrial("t1", "completed", {}, {}))
    tracker.write(CloseStudy("completed", {}, {}))
    tracker.close()


def _replayed(uri: str, spool: Path, die_after: int | None) -> bool:
    """Replays in a child process; returns whether it was killed."""
    child = os.fork()
    if child == 0:
        # The child must not use the open connections of its parent.
        request_utils._cached_get_request_session.cache_clear()
        if die_after is not None:
            _die_after(die_after)
        try:
            with recording(uri, spool) as tracker:
                os._exit(tracker.flush(FLUSH_S) + tracker.num_rejected)
        except BaseException:
            os._exit(99)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, os.WEXITSTATUS(status)
    return os.WIFSIGNALED(status)


def _die_after(count: int) -> None:
    send, answered = requests.adapters.HTTPAdapter.send, 0

    def dying(*arguments: object, **options: object) -> requests.Response:
        nonlocal answered
        response = send(*arguments, **options)  # type: ignore[arg-type]
        answered += 1
        if answered == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    requests.adapters.HTTPAdapter.send = dying  # type: ignore[method-assign]
