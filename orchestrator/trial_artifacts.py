"""What a trial leaves in the record beside numbers: its curves, its maps, its best weights."""

import tempfile
from pathlib import Path

from orchestrator.journal import TrialRecord
from orchestrator.tracking.figures import attention_figure, curves_figure, interpretability_figure
from orchestrator.tracking.tracker import Tracker
from trainables.checkpoint import has_tensors, read_state, read_tensors
from trainables.checkpoint_store import CheckpointStore
from trainables.interpretability.examples import Panels


def log_trial_artifacts(tracker: Tracker, checkpoints: CheckpointStore, record: TrialRecord) -> None:
    """Logs curves, and for a trial of full length also attention maps, scores and the best epoch's weights.

    A trial that was stopped early or failed has its numbers only: hundreds of them would fill the store. A model
    without maps has curves and weights.
    """
    if record.state != "completed" or "final_val_error_pct" not in record.outcome:
        return
    with checkpoints.newest() as checkpoint:
        if checkpoint is not None:
            _log(tracker, checkpoint, record)


def _log(tracker: Tracker, checkpoint: Path, record: TrialRecord) -> None:
    # Before anything is drawn: workers that were taken for lost may write the epoch once more and clear this one away.
    for name in ("best.safetensors", "state.json", "manifest.json"):
        tracker.log_artifact(record.trial, checkpoint / name, "best_checkpoint")
    state = read_state(checkpoint)
    figures = {"curves": curves_figure(record.history)}
    if has_tensors(checkpoint, "examples"):
        threshold = state["config"]["evaluation.interp_threshold"]
        panels = Panels.from_tensors(read_tensors(checkpoint, "examples"), threshold)
        figures["attention"] = attention_figure(panels, state["data"]["class_names"])
        figures["interpretability"] = interpretability_figure(record.outcome)
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in figures.items():
            path = Path(folder) / f"{name}.png"
            figure.savefig(path)
            tracker.log_artifact(record.trial, path, "figures")
