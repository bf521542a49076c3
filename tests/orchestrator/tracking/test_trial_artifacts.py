"""The files that a completed trial logs, with attention maps and without."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from orchestrator.study.journal import Journal, TrialRecord
from orchestrator.tracking.reconcile_store import reconcile_store
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput, OpenStudy, OpenTrial
from orchestrator.tracking.trial_artifacts import log_trial_artifacts
from tests.support.free_port import free_port
from tests.support.full_disk import small_disk
from tests.support.recording_tracker import RecordingTracker
from tests.support.s3_server import s3_server
from tests.support.tiny_trial import tiny_trial
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.checkpoint import (
    checkpoint_folder,
    latest_checkpoint,
    read_state,
    read_tensors,
    write_checkpoint,
)
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.checkpoints.folder_store import FolderStore
from trainables.checkpoints.object_store import ObjectStore
from trainables.runtime.runtime import Runtime
from trainables.training.fit import EpochReport, fit

SMALL = {"data__train_images": 40, "data__val_images": 20, "data__test_images": 20, "epochs": 1}


def logged_of(checkpoints: CheckpointStore, report: EpochReport) -> dict[str, bytes]:
    """The logged files, by path, of a trial that completed with this report."""
    record = TrialRecord(
        trial="t00000", kind="search", params={}, seed=0, state="completed", history=[dict(report.metrics)]
    )
    tracker = RecordingTracker()
    tracker.write(OpenStudy("tiny", "signature", {}, {}))
    tracker.write(OpenTrial("t00000", "t00000", {}, {}, None))
    assert log_trial_artifacts(tracker, checkpoints, record)
    logged: dict[str, bytes] = tracker.runs["t00000"]["files"]
    return logged


@pytest.mark.parametrize(
    ("model", "figures"), [("vgg", ["curves"]), ("vgg-gap", ["attention", "curves", "interpretability"])]
)
def test_figures_of_maps_are_left_out_where_there_are_none(
    digits_root: Path, tmp_path: Path, model: str, figures: list[str]
) -> None:
    (report,) = fit(tiny_trial(model=model, **SMALL), Runtime(data_root=digits_root))
    report.save(checkpoint_folder(tmp_path, 1))
    logged = logged_of(FolderStore(tmp_path), report)
    assert sorted(name for name in logged if name.startswith("figures/")) == [f"figures/{name}.png" for name in figures]
    assert "best_checkpoint/best.safetensors" in logged


class ClearedAway(FolderStore):
    """A store where another worker group writes the last epoch again and removes files of the chosen checkpoint.

    `left` names the files that stay.
    """

    def __init__(self, folder: Path, report: EpochReport, left: list[str]) -> None:
        super().__init__(folder)
        vars(self)["race"] = [(report, left)]

    @contextmanager
    def newest(self) -> Iterator[Path | None]:
        with super().newest() as chosen:
            if chosen is not None and (race := vars(self)["race"]):
                report, left = race.pop()
                report.save(checkpoint_folder(self.folder, 1))
                for file in chosen.iterdir():
                    if file.name not in left:
                        file.unlink()
            yield chosen


@pytest.mark.parametrize("left", [[], ["manifest.json"], ["manifest.json", "state.json"]])
def test_a_checkpoint_that_is_cleared_away_while_it_is_read_is_chosen_again(
    digits_root: Path, tmp_path: Path, left: list[str]
) -> None:
    (report,) = fit(tiny_trial(model="vgg-gap", **SMALL), Runtime(data_root=digits_root))
    report.save(checkpoint_folder(tmp_path, 1))
    logged = logged_of(ClearedAway(tmp_path, report, left), report)
    again = checkpoint_folder(tmp_path, 1).with_name("epoch_000001.002")
    for name in ("best.safetensors", "state.json", "manifest.json"):
        assert logged[f"best_checkpoint/{name}"] == (again / name).read_bytes()
    assert "figures/attention.png" in logged


class Driver:
    """Drivers on the same journal and tracker, one after another: the first ends the trial, the others resume."""

    def __init__(self, folder: Path, report: EpochReport) -> None:
        self.folder, self.report, self.tracker = folder, report, RecordingTracker()
        self.tracker.write(OpenStudy("tiny", "signature", {}, {}))
        self.config = tiny_trial(**SMALL)

    def ends(self, checkpoints: CheckpointStore) -> TrialRecord:
        """Runs one driver; returns the trial's journal entry afterwards."""
        journal = Journal(self.folder / "journal.jsonl")
        data = DatasetInput(name="d", digest="0", source="s", num_train=1)
        recorder = Recorder(
            journal,
            self.tracker,
            data,
            {},
            on_end=lambda record: log_trial_artifacts(self.tracker, checkpoints, record),
        )
        if not journal.state.trials:
            recorder.trial_started("t00000", "search", {}, self.config)
            recorder.epoch("t00000", self.report.metrics)
            recorder.trial_ended("t00000", "completed")
            recorder.stage("finalists")
        else:
            reconcile_store(recorder, lambda record: self.config)
        journal.close()
        assert self.tracker.runs["t00000"]["status"] == "FINISHED"
        return journal.state.trials["t00000"]


@pytest.fixture(scope="module")
def report(digits_root: Path) -> EpochReport:
    (only,) = fit(tiny_trial(**SMALL), Runtime(data_root=digits_root))
    return only


@pytest.mark.server
def test_storage_that_is_away_costs_a_trial_its_figures_until_a_resume(
    report: EpochReport, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.checkpoints.bucket._ATTEMPTS", 1)
    driver = Driver(tmp_path, report)
    away = Bucket.from_uri(f"s3://aib/runs?region=r&scheme=http&endpoint_override=127.0.0.1%3A{free_port()}")
    assert not driver.ends(ObjectStore(away, "t00000")).recorded
    assert "could not record all weights and figures of t00000 (StorageError: s3://aib/runs" in caplog.text
    with s3_server(tmp_path) as server:
        back = ObjectStore(Bucket.from_uri(server.uri), "t00000")
        back.save(1, report.save)
        assert driver.ends(back).recorded
    assert {"best_checkpoint/best.safetensors", "figures/attention.png"} <= driver.tracker.runs["t00000"][
        "files"
    ].keys()


def test_figures_that_cannot_be_drawn_end_no_search_and_no_resume(
    report: EpochReport, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver, checkpoints = Driver(tmp_path, report), FolderStore(tmp_path)
    report.save(checkpoint_folder(tmp_path, 1))
    whole = latest_checkpoint(tmp_path)
    assert whole is not None
    tensors = {"best": read_tensors(whole, "best"), "examples": {"nothing": torch.zeros(1)}}
    write_checkpoint(checkpoint_folder(tmp_path, 1), tensors, read_state(whole))
    for times in (1, 2):
        assert not driver.ends(checkpoints).recorded
        assert caplog.text.count("could not record all weights and figures of t00000") == times, "once a driver"


def test_a_temporary_folder_that_is_full_costs_a_trial_its_figures_until_a_resume(
    report: EpochReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, checkpoints = Driver(tmp_path, report), FolderStore(tmp_path)
    report.save(checkpoint_folder(tmp_path, 1))
    with small_disk("tmpfs", tmp_path / "disk") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
        with disk.full():
            assert not driver.ends(checkpoints).recorded
        assert driver.ends(checkpoints).recorded
