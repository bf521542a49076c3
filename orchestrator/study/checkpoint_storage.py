"""Where a study's trials store their checkpoints: in the study's folder, or in the object store of --storage.

The journal, Optuna's database and the record's spool always stay in the study's folder; only the driver reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import PreflightError
from orchestrator.study.paths import StudyPaths, inside
from search_spaces.names import check_name
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.checkpoints.folder_store import FolderStore
from trainables.checkpoints.object_store import ObjectStore
from trainables.errors import ConfigError

FACT = "storage"
"""Key of the URI in a study's facts; absent for checkpoints in the study's folder."""


@dataclass(frozen=True)
class TrialStorage:
    """Where the checkpoints of a study's trials are; a value that is sent to the workers."""

    trials: Path
    bucket: Bucket | None = None
    study: str = ""
    """The study's name, a part of the object keys."""

    def of(self, trial: str) -> CheckpointStore:
        """Returns one trial's checkpoint store; raises ConfigError for an id that is not a plain name."""
        folder = inside(self.trials, trial, "trial")
        if self.bucket is None:
            return FolderStore(folder)
        return ObjectStore(self.bucket, f"studies/{check_name(self.study)}/trials/{trial}")

    @property
    def place(self) -> str:
        """The folder or URI, for messages."""
        return str(self.trials) if self.bucket is None else self.bucket.uri

    @property
    def facts(self) -> dict[str, Any]:
        """The entries for a study's facts."""
        return {} if self.bucket is None else {FACT: self.bucket.uri}


def choose_storage(uri: str | None, paths: StudyPaths) -> TrialStorage:
    """Returns the storage for a run that starts or resumes; an existing study keeps its storage.

    Raises ConfigError for a URI that is not allowed, or that differs from the existing study's.
    """
    asked = Bucket.from_uri(uri) if uri else None
    facts = paths.stored()
    if facts is None:
        return TrialStorage(paths.trials, asked, paths.name)
    stored = recorded_storage(facts, paths.trials, paths.name)
    if asked is not None and asked != stored.bucket:
        raise ConfigError(
            f"--storage is {asked.uri}, but the study '{paths.name}' keeps its checkpoints in {stored.place}; "
            "leave --storage and AIB_STORAGE out, or choose another name with --name."
        )
    return stored


def recorded_storage(facts: Mapping[str, Any], trials: Path, study: str) -> TrialStorage:
    """Returns the storage that a study's facts name; `trials` is the study's own folder of trials.

    Raises PreflightError for a URI that no study stores.
    """
    try:
        return TrialStorage(trials, Bucket.from_uri(facts[FACT], {}) if FACT in facts else None, study)
    except ConfigError as error:
        raise PreflightError(f"the study.json beside {trials} was changed: {error} Restore it from a copy.") from None
