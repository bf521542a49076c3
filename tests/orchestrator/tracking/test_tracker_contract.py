"""The contract of a Tracker, tested on every implementation."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.records import (
    CloseStudy,
    CloseTrial,
    DatasetInput,
    LogArtifact,
    LogEpoch,
    OpenStudy,
    OpenTrial,
)
from orchestrator.tracking.tracker import Tracker
from tests.support.mlflow_reader import read_runs
from tests.support.recording_tracker import RecordingTracker

DATA = DatasetInput(name="cluttered-digits", digest="0123456789abcdef", source="/data", num_train=1000)
Read = Callable[[], dict[str | None, dict[str, Any]]]


@pytest.fixture(params=["recording", "mlflow", "buffered-recording", "buffered-mlflow"])
def tracker_and_read(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Tracker, Read]]:
    inner: Tracker
    if request.param.endswith("mlflow"):
        uri = request.getfixturevalue("store_uri")
        inner, read = MlflowTracker(uri, tmp_path / "artifacts", system_metrics=False), partial(read_runs, uri, "study")
    else:
        inner = recording = RecordingTracker()
        read = partial(getattr, recording, "runs")
    tracker = BufferedTracker(inner, Spool(tmp_path / "spool")) if request.param.startswith("buffered") else inner
    yield tracker, read
    tracker.close()


def write_study(tracker: Tracker, figure: Path) -> None:
    tracker.write(OpenStudy("study", "s1", {"seed": 0}, {"git": "abc"}))
    tracker.write(
        OpenTrial("t00000", "t00000", {"optim.lr": 0.1, "model.name": "vgg-aib-qt"}, {"aib.kind": "search"}, DATA)
    )
    for epoch in range(3):
        tracker.write(
            LogEpoch("t00000", epoch, {"val_error_pct": 50.0 - epoch, "train_loss": 2.0}, 1_700_000_000_000 + epoch)
        )
    tracker.write(LogArtifact("t00000", figure, "figures"))
    tracker.write(LogArtifact(None, figure))
    tracker.write(CloseTrial("t00000", "stopped", {"test_error_pct": 41.0}, {"aib.reason": "asha"}))
    tracker.write(CloseStudy("completed", {"best_val_error_pct": 48.0}, {}))


@pytest.mark.parametrize("times", [1, 2])
def test_tracker_records_a_study_once_however_often_it_is_written(
    tracker_and_read: tuple[Tracker, Read], tmp_path: Path, times: int
) -> None:
    tracker, read = tracker_and_read
    figure = tmp_path / "map.png"
    figure.write_bytes(b"png")
    for _ in range(times):
        write_study(tracker, figure)
    assert tracker.flush(30) == 0

    runs = read()
    assert set(runs) == {None, "t00000"}
    study, trial = runs[None], runs["t00000"]
    assert trial["history"] == {
        "val_error_pct": [(0, 50.0), (1, 49.0), (2, 48.0)],
        "train_loss": [(0, 2.0), (1, 2.0), (2, 2.0)],
        "test_error_pct": [(2, 41.0)],
    }
    assert trial["params"] == {"optim.lr": "0.1", "model.name": "vgg-aib-qt"}
    assert trial["status"] == "FINISHED"
    assert trial["datasets"] == {("cluttered-digits", "0123456789abcdef")}
    assert trial["files"] == {"figures/map.png": b"png"}
    assert {"aib.state": "stopped", "aib.kind": "search", "aib.reason": "asha"}.items() <= trial["tags"].items()
    assert study["history"] == {"best_val_error_pct": [(0, 48.0)]}
    assert study["files"] == {"map.png": b"png"}
    assert study["status"] == "FINISHED"
    assert {"aib.study": "study", "aib.signature": "s1", "git": "abc"}.items() <= study["tags"].items()


def test_tracker_opens_an_ended_trial_again_and_continues_after_its_last_epoch(
    tracker_and_read: tuple[Tracker, Read],
) -> None:
    tracker, read = tracker_and_read
    tracker.write(OpenStudy("study", "s1", {}, {}))
    tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
    tracker.write(LogEpoch("t1", 0, {"x": 1.0}, 1))
    tracker.write(LogEpoch("t1", 1, {"x": 2.0}, 2))
    tracker.write(CloseTrial("t1", "interrupted", {}, {}))
    assert tracker.flush(30) == 0
    assert read()["t1"]["status"] == "KILLED"

    tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
    tracker.write(LogEpoch("t1", 1, {"x": 9.0}, 3))
    tracker.write(LogEpoch("t1", 2, {"x": 3.0}, 4))
    assert tracker.flush(30) == 0
    assert read()["t1"]["status"] == "RUNNING"
    tracker.write(CloseTrial("t1", "failed", {}, {}))
    assert tracker.flush(30) == 0
    assert read()["t1"]["status"] == "FAILED"
    assert read()["t1"]["history"] == {"x": [(0, 1.0), (1, 2.0), (2, 3.0)]}


def test_tracker_names_the_trials_that_have_ended(tracker_and_read: tuple[Tracker, Read]) -> None:
    tracker, _ = tracker_and_read
    tracker.write(OpenStudy("study", "s1", {}, {}))
    for trial, state in (("t00000", "stopped"), ("t00001", "failed"), ("t00002", None), ("t00003", "interrupted")):
        tracker.write(OpenTrial(trial, trial, {}, {}, None))
        if state is not None:
            tracker.write(CloseTrial(trial, state, {}, {}))  # type: ignore[arg-type]
    assert tracker.ended_trials(30) == {"t00000", "t00001"}
    tracker.write(OpenTrial("t00000", "t00000", {}, {}, None))
    assert tracker.ended_trials(30) == {"t00001"}


def test_tracker_gives_run_ids_of_what_was_opened_only(tracker_and_read: tuple[Tracker, Read]) -> None:
    tracker, read = tracker_and_read
    assert tracker.run_id(None) is None
    tracker.write(OpenStudy("study", "s1", {}, {}))
    tracker.write(OpenTrial("t1", "t1", {}, {}, None))
    assert tracker.run_id("t1") == read()["t1"]["id"]
    assert tracker.run_id(None) == read()[None]["id"]
    assert tracker.run_id("t2") is None
