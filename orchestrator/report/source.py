"""What a report reads of a study: its journal, its trials' checkpoints and, if present, its prepared data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from orchestrator.study.checkpoint_storage import recorded_storage
from orchestrator.study.paths import StudyPaths
from orchestrator.study.study import StudyView, view_study
from trainables.checkpoints.checkpoint import has_tensors, read_state, read_tensors
from trainables.errors import StorageError
from trainables.evaluation.predictions import Verdicts
from trainables.interpretability.examples import Panels


@dataclass(frozen=True)
class StudySource:
    view: StudyView
    trials: Path
    """Folder of the trials' folders."""
    data: Path | None = None
    """Root of the prepared data sets; None if it is unknown."""

    @staticmethod
    def of(paths: StudyPaths) -> "StudySource":
        """Reads the study. Raises PreflightError if it does not exist."""
        return StudySource(view_study(paths), paths.trials, paths.data)

    @property
    def name(self) -> str:
        return self.view.spec.name

    def checkpoint(self, trial: str) -> "CheckpointContents | None":
        """Reads a trial's newest complete checkpoint without its weights; None if there is none."""
        storage = recorded_storage(self.view.facts, self.trials, self.name)
        try:
            with storage.of(trial).newest() as folder:
                return None if folder is None else _read(folder)
        except (
            OSError,
            StorageError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            SafetensorError,
        ):
            # Storage is unreachable, or another program wrote there: the report shows only what the journal holds.
            return None


def _read(folder: Path) -> "CheckpointContents":
    state = read_state(folder)
    panels = verdicts = None
    if has_tensors(folder, "examples"):
        threshold = state["config"].get("evaluation.interp_threshold", 0.9)
        panels = Panels.from_tensors(read_tensors(folder, "examples"), threshold)
    if has_tensors(folder, "verdicts"):
        verdicts = Verdicts.from_tensors(read_tensors(folder, "verdicts"))
    return CheckpointContents(state, panels, verdicts)


@dataclass(frozen=True)
class CheckpointContents:
    """A checkpoint without its weights."""

    state: dict[str, Any]
    panels: Panels | None
    """Example images with their attention maps."""
    verdicts: Verdicts | None
    """The prediction for each test image."""

    @property
    def class_names(self) -> list[str]:
        return list(self.state["data"]["class_names"])

    @property
    def hardware(self) -> str:
        """The processor or accelerator on which the trial ran."""
        return str(self.state.get("fingerprint", {}).get("device") or "hardware not recorded")
