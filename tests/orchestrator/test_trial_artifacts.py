"""What a finished trial leaves in the record, with maps and without."""

from pathlib import Path

import pytest

from orchestrator.journal import TrialRecord
from orchestrator.trial_artifacts import log_trial_artifacts
from tests.orchestrator.tracking.recording_tracker import RecordingTracker
from tests.trainables.tiny import tiny_trial
from trainables.checkpoint import checkpoint_folder
from trainables.checkpoint_store import FolderStore
from trainables.fit import fit
from trainables.runtime import Runtime

SMALL = {"data__train_images": 40, "data__val_images": 20, "data__test_images": 20, "epochs": 1}


@pytest.mark.parametrize(
    ("model", "figures"), [("vgg", ["curves"]), ("vgg-gap", ["attention", "curves", "interpretability"])]
)
def test_figures_of_maps_are_left_out_where_there_are_none(
    digits_root: Path, tmp_path: Path, model: str, figures: list[str]
) -> None:
    (report,) = fit(tiny_trial(model=model, **SMALL), Runtime(data_root=digits_root))
    report.save(checkpoint_folder(tmp_path, 1))
    record = TrialRecord(
        trial="t00000", kind="search", params={}, seed=0, state="completed", history=[dict(report.metrics)]
    )
    tracker = RecordingTracker()
    tracker.open_study("tiny", "signature", {}, {})
    tracker.open_trial("t00000", "t00000", {}, {}, None)
    log_trial_artifacts(tracker, FolderStore(tmp_path), record)
    logged = tracker.runs["t00000"]["files"]
    assert sorted(name for name in logged if name.startswith("figures/")) == [f"figures/{name}.png" for name in figures]
    assert "best_checkpoint/best.safetensors" in logged
