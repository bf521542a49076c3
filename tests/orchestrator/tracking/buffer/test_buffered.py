import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.process.precedence import suggestions
from orchestrator.tracking.buffer import delivery
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.records import CloseTrial, DatasetInput, LogArtifact, LogEpoch, OpenStudy, OpenTrial
from orchestrator.tracking.tracker import TrackerUnavailableError
from tests.support.free_port import free_port
from tests.support.mlflow_reader import read_runs
from tests.support.mlflow_server import mlflow_server
from tests.support.recording_tracker import RecordingTracker
from tests.support.repository import ROOT

AWAY = TrackerUnavailableError("http://user:hunter2x@server is away")


@contextmanager
def buffered(inner: RecordingTracker | MlflowTracker, folder: Path) -> Iterator[BufferedTracker]:
    tracker = BufferedTracker(inner, Spool(folder), first_delay_s=0.02, max_delay_s=0.2, max_attempts=3)
    try:
        yield tracker
    finally:
        tracker.close()


def open_two(tracker: BufferedTracker) -> None:
    tracker.write(OpenStudy("study", "s1", {}, {}))
    for trial in ("t1", "t2"):
        tracker.write(OpenTrial(trial, trial, {"a": 1}, {}, None))


def test_calls_return_at_once_during_an_outage_and_arrive_after_it(tmp_path: Path) -> None:
    inner = RecordingTracker()
    inner.fail_with = AWAY
    with buffered(inner, tmp_path) as tracker:
        started = time.monotonic()
        open_two(tracker)
        for epoch in range(100):
            tracker.write(LogEpoch("t1", epoch, {"x": float(epoch)}, epoch))
        assert time.monotonic() - started < 1.0
        assert tracker.flush(0.2) == 103
        assert tracker.last_error is not None
        assert "hunter2x" not in tracker.last_error
        inner.fail_with = None
        assert tracker.flush(5) == 0
        assert tracker.last_error is None
    assert inner.runs["t1"]["history"]["x"] == [(epoch, float(epoch)) for epoch in range(100)]
    assert inner.closed


def test_a_backlog_arrives_in_one_request_per_trial(tmp_path: Path) -> None:
    inner = RecordingTracker()
    inner.fail_with = AWAY
    with buffered(inner, tmp_path) as tracker:
        open_two(tracker)
        for epoch in range(50):
            for trial in ("t1", "t2"):
                tracker.write(LogEpoch(trial, epoch, {"x": float(epoch)}, epoch))
        tracker.flush(0.1)
        inner.fail_with = None
        assert tracker.flush(5) == 0
    assert inner.calls == ["OpenStudy", "OpenTrial", "OpenTrial", "LogEpoch", "LogEpoch"]


def test_records_rest_until_somebody_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_REST_S", 3600.0)
    inner = RecordingTracker()
    with buffered(inner, tmp_path) as tracker:
        open_two(tracker)
        time.sleep(0.1)
        assert inner.calls == []
        assert tracker.run_id("t1", 5) is not None, "a question waits for no rest"
        assert tracker.flush(5) == 0


def test_no_record_is_sent_while_a_trial_is_suggested(tmp_path: Path) -> None:
    inner = RecordingTracker()
    with buffered(inner, tmp_path) as tracker:
        with suggestions.first():
            open_two(tracker)
            assert tracker.flush(0.5) == 3
            assert inner.calls == []
        assert tracker.flush(5) == 0


@pytest.mark.parametrize("poison", [{"a": 2}, {"a": 1}])
def test_a_refused_record_is_set_aside_and_blocks_nothing(tmp_path: Path, poison: dict[str, int]) -> None:
    inner = RecordingTracker()
    with buffered(inner, tmp_path) as tracker:
        open_two(tracker)
        tracker.write(OpenTrial("t1", "t1", poison, {}, None))
        tracker.write(LogEpoch("t1", 0, {"x": 1.0}, 1))
        assert tracker.flush(5) == 0
        assert tracker.num_rejected == (poison["a"] == 2)
    assert inner.runs["t1"]["history"]["x"] == [(0, 1.0)]
    rejected = tmp_path / "rejected.jsonl"
    if poison["a"] == 2:
        (line,) = rejected.read_text().splitlines()
        assert json.loads(line)["record"]["params"] == {"a": 2}
        assert "a is recorded as 1, now given as 2" in json.loads(line)["reason"]
    else:
        assert not rejected.exists()


def test_one_bad_epoch_in_a_backlog_costs_only_itself(tmp_path: Path) -> None:
    inner = RecordingTracker()
    inner.fail_with = AWAY
    with buffered(inner, tmp_path) as tracker:
        open_two(tracker)
        tracker.write(LogEpoch("t1", 0, {"x": 0.0}, 1))
        tracker.write(LogEpoch("t1", 1, {"x": "not a number"}, 2))  # type: ignore[dict-item]
        tracker.write(LogEpoch("t1", 2, {"x": 2.0}, 3))
        inner.fail_with = None
        assert tracker.flush(5) == 0
        assert tracker.num_rejected == 1
    assert inner.runs["t1"]["history"]["x"] == [(0, 0.0), (2, 2.0)]


def test_an_unknown_error_is_tried_again_but_not_for_ever(tmp_path: Path) -> None:
    inner = RecordingTracker()
    inner.fail_with = RuntimeError("HTTP 500")
    with buffered(inner, tmp_path) as tracker:
        tracker.write(OpenStudy("study", "s1", {}, {}))
        assert tracker.flush(5) == 0
        assert tracker.num_rejected == 1
        inner.fail_with = None
        open_two(tracker)
        assert tracker.flush(5) == 0
    assert "t2" in inner.runs
    assert "in 3 attempts" in (tmp_path / "rejected.jsonl").read_text()


def test_an_unknown_error_is_an_outage_while_the_store_takes_nothing_else(tmp_path: Path) -> None:
    inner = RecordingTracker()
    inner.fail_with, inner.alive = RuntimeError("HTTP 500"), False
    with buffered(inner, tmp_path) as tracker:
        open_two(tracker)
        assert tracker.flush(2) == 3, "ten times the attempts after which a poison record is set aside"
        inner.fail_with, inner.alive = None, True
        assert tracker.flush(5) == 0
        assert tracker.num_rejected == 0
    assert set(inner.runs) == {None, "t1", "t2"}


def test_the_next_process_delivers_what_was_left_and_knows_its_study(tmp_path: Path) -> None:
    inner = RecordingTracker()
    data = DatasetInput(name="d", digest="1", source="s", num_train=9)
    with buffered(inner, tmp_path) as tracker:
        open_two(tracker)
        assert tracker.flush(5) == 0
        inner.fail_with = AWAY
        tracker.write(LogEpoch("t1", 0, {"x": 1.0}, 1))
        tracker.write(OpenTrial("t3", "t3", {}, {}, data))
    later = RecordingTracker()
    later.runs = inner.runs
    with buffered(later, tmp_path) as tracker:
        assert tracker.flush(5) == 0
    assert later.calls == ["OpenStudy", "LogEpoch", "OpenTrial"]
    assert later.study == "study"
    assert later.runs["t1"]["history"]["x"] == [(0, 1.0)]
    assert later.runs["t3"]["datasets"] == {("d", "1")}


def test_a_file_may_be_removed_once_it_was_logged(tmp_path: Path) -> None:
    inner = RecordingTracker()
    inner.fail_with = AWAY
    with buffered(inner, tmp_path / "spool") as tracker:
        tracker.write(OpenStudy("study", "s1", {}, {}))
        figure = tmp_path / "map.png"
        figure.write_bytes(b"png")
        tracker.write(LogArtifact(None, figure, "figures"))
        figure.unlink()
        inner.fail_with = None
        assert tracker.flush(5) == 0
        tracker.write(LogArtifact(None, tmp_path / "never-there.png"))
        assert tracker.num_rejected == 1
    assert inner.runs[None]["files"] == {"figures/map.png": b"png"}
    assert list((tmp_path / "spool" / "files").iterdir()) == []


def test_run_id_waits_for_its_record_and_gives_up_in_time(tmp_path: Path) -> None:
    inner = RecordingTracker()
    with buffered(inner, tmp_path) as tracker:
        open_two(tracker)
        assert tracker.run_id("t2") == inner.runs["t2"]["id"]
        inner.fail_with = AWAY
        tracker.write(OpenTrial("t3", "t3", {}, {}, None))
        started = time.monotonic()
        assert tracker.run_id("t3", timeout_s=0.2) is None
        assert time.monotonic() - started < 1.0
        threading.Timer(0.2, lambda: setattr(inner, "fail_with", None)).start()
        assert tracker.run_id("t3", timeout_s=5) is not None


def test_many_threads_may_call(tmp_path: Path) -> None:
    inner = RecordingTracker()
    with buffered(inner, tmp_path) as tracker:
        tracker.write(OpenStudy("study", "s1", {}, {}))

        def one_trial(name: str) -> None:
            tracker.write(OpenTrial(name, name, {}, {}, None))
            for epoch in range(50):
                tracker.write(LogEpoch(name, epoch, {"x": 1.0}, epoch))

        threads = [threading.Thread(target=one_trial, args=(f"t{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tracker.flush(10) == 0
    assert all(len(inner.runs[f"t{i}"]["history"]["x"]) == 50 for i in range(8))


@pytest.mark.slow
def test_a_locked_database_holds_up_nobody_and_loses_nothing(store_uri: str, tmp_path: Path) -> None:
    with buffered(MlflowTracker(store_uri, system_metrics=False), tmp_path / "spool") as tracker:
        open_two(tracker)
        assert tracker.flush(10) == 0
        locker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        slowest = 0.0
        until = time.monotonic() + 2.5
        epoch = 0
        while time.monotonic() < until:
            before = time.monotonic()
            tracker.write(LogEpoch("t1", epoch, {"x": float(epoch)}, epoch))
            slowest = max(slowest, time.monotonic() - before)
            epoch += 1
            time.sleep(0.02)
        assert tracker.num_pending >= epoch - 1
        assert slowest < 0.2
        locker.execute("ROLLBACK")
        locker.close()
        assert tracker.flush(20) == 0
    assert read_runs(store_uri, "study")["t1"]["history"]["x"] == [(e, float(e)) for e in range(epoch)]


@pytest.mark.slow
def test_a_process_killed_between_spool_and_delivery_loses_and_doubles_nothing(store_uri: str, tmp_path: Path) -> None:
    script = ROOT / "tests" / "support" / "spooling_process.py"
    repository = ROOT
    last = -1
    for num_epochs in (5, 40):
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path), str(last + 1)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )
        assert process.stdout is not None
        for _ in range(num_epochs):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        last = max([last, *(int(line) for line in rest[:-1])])
        process.wait()
    with buffered(MlflowTracker(store_uri, system_metrics=False), tmp_path / "spool") as tracker:
        assert tracker.num_pending > 0
        assert tracker.flush(30) == 0
        assert tracker.num_rejected == 0
    runs = read_runs(store_uri, "study")
    assert set(runs) == {None, "t1", "t2"}
    for trial in ("t1", "t2"):
        steps = [step for step, _ in runs[trial]["history"]["x"]]
        assert steps == list(range(len(steps)))
        assert len(steps) > last
        assert runs[trial]["history"]["y"] == [(step, 0.5) for step in steps]


class _Unavailable(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()

    do_POST = do_PATCH = do_GET

    def log_message(self, *args: object) -> None:
        """Logs nothing."""


@contextmanager
def answering_503(port: int) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", port), _Unavailable)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.server
@pytest.mark.slow
def test_a_server_that_fails_stops_and_returns_gets_every_record_once(
    store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    figure = tmp_path / "map.png"
    figure.write_bytes(b"png")
    with buffered(MlflowTracker(uri, system_metrics=False), tmp_path / "spool") as tracker:
        with answering_503(port):
            open_two(tracker)
            tracker.write(LogEpoch("t1", 0, {"x": 0.0}, 0))
            assert tracker.flush(0.5) == 4
            assert tracker.last_error is not None
        with mlflow_server(port, tmp_path):
            tracker.write(LogArtifact("t1", figure, "figures"))
            assert tracker.flush(60) == 0
        for epoch in range(1, 30):
            tracker.write(LogEpoch("t1", epoch, {"x": float(epoch)}, epoch))
        tracker.write(CloseTrial("t1", "completed", {"final": 1.0}, {}))
        assert tracker.flush(0.5) == 30
        with mlflow_server(port, tmp_path):
            assert tracker.flush(60) == 0
            runs = read_runs(uri, "study")
        assert tracker.num_rejected == 0
    assert set(runs) == {None, "t1", "t2"}
    assert runs["t1"]["history"] == {"x": [(e, float(e)) for e in range(30)], "final": [(29, 1.0)]}
    assert runs["t1"]["status"] == "FINISHED"
    assert runs["t1"]["files"] == {"figures/map.png": b"png"}
