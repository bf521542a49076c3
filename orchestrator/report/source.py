"""A study as a report reads it: its record, its trials' checkpoints and, where it is at hand, its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """The trials' folders."""
    data: Path | None = None
    """Root of the prepared data sets."""

    @staticmethod
    def of(paths: StudyPaths) -> "StudySource":
        """PreflightError where there is no such study."""
        return StudySource(view_study(paths), paths.trials, paths.data)

    @property
    def name(self) -> str:
        return self.view.spec.name

    def stored(self, trial: str) -> "Stored | None":
        """What a trial's last whole checkpoint holds besides weights; None where there is none."""
        storage = recorded_storage(self.view.facts, self.trials, self.name)
        try:
            with storage.of(trial).newest() as checkpoint:
                return None if checkpoint is None else _read(checkpoint)
        except (OSError, StorageError):
            # Storage that is away: the page is drawn from the record alone.
            return None


def _read(checkpoint: Path) -> "Stored":
    state = read_state(checkpoint)
    panels = verdicts = None
    if has_tensors(checkpoint, "examples"):
        threshold = state["config"].get("evaluation.interp_threshold", 0.9)
        panels = Panels.from_tensors(read_tensors(checkpoint, "examples"), threshold)
    if has_tensors(checkpoint, "verdicts"):
        verdicts = Verdicts.from_tensors(read_tensors(checkpoint, "verdicts"))
    return Stored(state, panels, verdicts)


@dataclass(frozen=True)
class Stored:
    state: dict[str, Any]
    panels: Panels | None
    verdicts: Verdicts | None

    @property
    def class_names(self) -> list[str]:
        return list(self.state["data"]["class_names"])

    @property
    def hardware(self) -> str:
        """The processor or accelerator that the trial ran on."""
        return str(self.state.get("fingerprint", {}).get("device") or "hardware not recorded")
