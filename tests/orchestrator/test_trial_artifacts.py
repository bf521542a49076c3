"""What a finished trial leaves in the record, with maps and without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.journal import TrialRecord
from orchestrator.trial_artifacts import log_trial_artifacts
from tests.orchestrator.tracking.recording_tracker import RecordingTracker
from tests.trainables.tiny import tiny_trial
from trainables.checkpoint import checkpoint_folder
from trainables.checkpoint_store import CheckpointStore, FolderStore
from trainables.fit import EpochReport, fit
from trainables.runtime import Runtime

SMALL = {"data__train_images": 40, "data__val_images": 20, "data__test_images": 20, "epochs": 1}


def logged_of(checkpoints: CheckpointStore, report: EpochReport) -> dict[str, bytes]:
    """What is in the record of a trial that completed with this report, by path."""
    record = TrialRecord(
        trial="t00000", kind="search", params={}, seed=0, state="completed", history=[dict(report.metrics)]
    )
    tracker = RecordingTracker()
    tracker.open_study("tiny", "signature", {}, {})
    tracker.open_trial("t00000", "t00000", {}, {}, None)
    log_trial_artifacts(tracker, checkpoints, record)
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
    """Another worker group writes the last epoch once more, and removes what has just been chosen: all of it, or the
    weights so far."""

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
