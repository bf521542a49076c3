"""What a trial leaves in the record beside numbers: its curves, its maps, its best weights."""

import logging
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from orchestrator.drawing.figures import attention_figure, curves_figure, interpretability_figure
from orchestrator.study.journal import TrialRecord
from orchestrator.tracking.tracker import Tracker
from trainables.checkpoints.checkpoint import MANIFEST, has_tensors, listed_files, read_state, read_tensors
from trainables.checkpoints.folder_store import CheckpointStore
from trainables.errors import CheckpointError
from trainables.interpretability.examples import Panels

LOGGED = ("best.safetensors", "state.json", MANIFEST)
CHOICES = 3

logger = logging.getLogger(__name__)


def log_trial_artifacts(tracker: Tracker, checkpoints: CheckpointStore, record: TrialRecord) -> bool:
    """Logs curves, and for a trial of full length also attention maps, scores and the best epoch's weights.

    A trial that was stopped early or failed has its numbers only: hundreds of them would fill the store. A model
    without maps has curves and weights. False, with a warning, where that could not be done: no trial is worth less,
    and no search ends, for a figure that is missing.
    """
    if record.state != "completed" or "final_val_error_pct" not in record.outcome:
        return True
    try:
        with tempfile.TemporaryDirectory() as folder:
            if _copy(checkpoints, Path(folder)):
                _log(tracker, Path(folder), record)
    except Exception as error:
        logger.warning(
            "the weights and figures of %s are not all in its record (%s: %s); its numbers are, and the same command "
            "with --resume tries again.",
            record.trial,
            type(error).__name__,
            error,
        )
        return False
    return True


def _copy(checkpoints: CheckpointStore, into: Path) -> bool:
    """Copies what is logged of the newest checkpoint; False where there is none.

    Workers that were taken for lost may write the last epoch once more, and clear the chosen one away while it is
    read; theirs has the same numbers, and is then chosen instead. Raises CheckpointError where that never ends.
    """
    for _ in range(CHOICES):
        # The second where it is gone before its manifest is read.
        with checkpoints.newest() as checkpoint, suppress(FileNotFoundError, CheckpointError):
            if checkpoint is None:
                return False
            for name in {*LOGGED, "examples.safetensors"} & {*listed_files(checkpoint), MANIFEST}:
                shutil.copyfile(checkpoint / name, into / name)
            return True
    raise CheckpointError(f"its checkpoint went away {CHOICES} times while it was read")


def _log(tracker: Tracker, checkpoint: Path, record: TrialRecord) -> None:
    """`checkpoint` is a copy, in which figures are drawn."""
    for name in LOGGED:
        tracker.log_artifact(record.trial, checkpoint / name, "best_checkpoint")
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
        tracker.log_artifact(record.trial, path, "figures")
