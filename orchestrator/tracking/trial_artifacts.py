"""Logs the files of an ended trial: its figures and its best weights."""

import logging
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from orchestrator.drawing.attention_figure import attention_figure
from orchestrator.drawing.interpretability_curves import interpretability_figure
from orchestrator.drawing.training_curves import curves_figure
from orchestrator.study.journal import TrialRecord
from orchestrator.tracking.records import LogArtifact
from orchestrator.tracking.tracker import Tracker
from trainables.checkpoints.checkpoint import MANIFEST, has_tensors, listed_files, read_state, read_tensors
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.errors import CheckpointError
from trainables.interpretability.examples import Panels

LOGGED = ("best.safetensors", "state.json", MANIFEST)
CHOICES = 3

logger = logging.getLogger(__name__)


def log_trial_artifacts(tracker: Tracker, checkpoints: CheckpointStore, record: TrialRecord) -> bool:
    """Logs curves, attention maps, interpretability scores and the best epoch's weights of a completed trial.

    A trial that was stopped early or failed logs no files: those of hundreds of trials would fill the store. A model
    without maps logs curves and weights only.

    Returns False, with a warning, if anything could not be logged: a missing figure must not end a search.
    """
    if record.state != "completed" or "final_val_error_pct" not in record.outcome:
        return True
    try:
        with tempfile.TemporaryDirectory() as folder:
            if _copy(checkpoints, Path(folder)):
                _log(tracker, Path(folder), record)
    except Exception as error:
        logger.warning(
            "could not record all weights and figures of %s (%s: %s); its metrics are recorded. Run the same command "
            "with --resume to try again.",
            record.trial,
            type(error).__name__,
            error,
        )
        return False
    return True


def _copy(checkpoints: CheckpointStore, into: Path) -> bool:
    """Copies the logged files of the newest checkpoint; returns False if there is no checkpoint.

    Workers that were believed lost may write the last epoch again and remove the chosen checkpoint while it is read.
    Their checkpoint has the same numbers, so it is chosen next. Raises CheckpointError after CHOICES attempts.
    """
    for _ in range(CHOICES):
        # CheckpointError: the checkpoint was removed before its manifest was read.
        with checkpoints.newest() as checkpoint, suppress(FileNotFoundError, CheckpointError):
            if checkpoint is None:
                return False
            for name in {*LOGGED, "examples.safetensors"} & {*listed_files(checkpoint), MANIFEST}:
                shutil.copyfile(checkpoint / name, into / name)
            return True
    raise CheckpointError(f"its checkpoint went away {CHOICES} times while it was read")


def _log(tracker: Tracker, checkpoint: Path, record: TrialRecord) -> None:
    """`checkpoint` is a private copy; figures are written into it."""
    for name in LOGGED:
        tracker.write(LogArtifact(record.trial, checkpoint / name, "best_checkpoint"))
    state = read_state(checkpoint)
    figures = {"curves": curves_figure(record.history)}
    if has_tensors(checkpoint, "examples"):
        threshold = state["config"]["evaluation.interp_threshold"]
        panels = Panels.from_tensors(read_tensors(checkpoint, "examples"), threshold)
        figures["attention"] = attention_figure(panels, state["data"]["class_names"])
        figures["interpretability"] = interpretability_figure(record.outcome)
    for name, figure in figures.items():
        path = checkpoint / f"{name}.png"
        figure.savefig(path)
        tracker.write(LogArtifact(record.trial, path, "figures"))
