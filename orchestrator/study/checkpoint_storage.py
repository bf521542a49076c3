"""Where a study's trials keep their checkpoints: in its own folder, or in an object store that --storage names.

The journal, Optuna's database and the record's spool stay in the study's folder: only the driver reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.study.paths import StudyPaths, inside
from search_spaces.names import check_name
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.checkpoints.folder_store import FolderStore
from trainables.checkpoints.object_store import ObjectStore
from trainables.errors import ConfigError

FACT = "storage"
"""Key of the URI in a study's facts; absent where the checkpoints are in its folder."""


@dataclass(frozen=True)
class TrialStorage:
    """The checkpoints of all trials of a study. A value that travels to the workers."""

    trials: Path
    bucket: Bucket | None = None
    study: str = ""
    """Its name, under which the bucket holds its trials."""

    def of(self, trial: str) -> CheckpointStore:
        """One trial's checkpoints; ConfigError for an id that is no plain name."""
        folder = inside(self.trials, trial, "trial")
        if self.bucket is None:
            return FolderStore(folder)
        return ObjectStore(self.bucket, f"studies/{check_name(self.study)}/trials/{trial}")

    @property
    def place(self) -> str:
        """For messages."""
        return str(self.trials) if self.bucket is None else self.bucket.uri

    @property
    def facts(self) -> dict[str, Any]:
        """What a study records of it."""
        return {} if self.bucket is None else {FACT: self.bucket.uri}


def choose_storage(uri: str | None, paths: StudyPaths) -> TrialStorage:
    """The storage of a study that is about to start or go on; one that is there already keeps the one it has.

    Raises ConfigError for a URI that is not allowed, or another than the study was started with.
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
    """The storage that a study's facts name; `trials` is its own folder of trials."""
    return TrialStorage(trials, Bucket.from_uri(facts[FACT], {}) if FACT in facts else None, study)
