"""The seam to the record of a study: what the driver says, and nothing about who stores it.

Every call is plain data and idempotent: said twice, it is recorded once. Trials go by our own identifiers
(`t00012`, `f01-seed3`), which survive a restart; runs of the store behind the seam are found by them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from trainables.errors import AIBError

State = Literal["completed", "stopped", "failed", "interrupted"]
"""How a trial or a study ended. `stopped`: early, by the scheduler, a regular end. `interrupted`: to be resumed."""


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """What a trial was trained on: identity only, no data. `digest` is that of the prepared store."""

    name: str
    digest: str
    source: str
    num_train: int
    num_val: int = 0
    num_test: int = 0


class EpochPoint(NamedTuple):
    """One epoch's metrics; `timestamp_ms` is Unix time when they were reported."""

    epoch: int
    metrics: Mapping[str, float]
    timestamp_ms: int


class RecordRejectedError(AIBError):
    """The store will never accept this record as it is; the message says why. Trying again is useless."""


class TrackerUnavailableError(AIBError):
    """The store cannot be reached or is locked; the same call may succeed later."""


class Tracker(Protocol):
    """Implementations raise RecordRejectedError or TrackerUnavailableError; `BufferedTracker` raises neither."""

    def open_study(
        self,
        study: str,
        signature: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        """Finds or creates the study's parent record and (re)opens it. Must come before any other call."""

    def open_trial(
        self,
        trial: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInput | None,
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        """Finds or creates the trial's record under the study and (re)opens it. `params` is the flattened trial."""

    def log_epoch(self, trial: str, epoch: int, metrics: Mapping[str, float], timestamp_ms: int) -> None:
        """One epoch of one trial, step = epoch. Epochs of a trial rise; one that is already recorded is skipped."""

    def log_epochs(self, trial: str, points: Sequence[EpochPoint]) -> None:
        """Several epochs of one trial in one request."""

    def log_artifact(self, trial: str | None, local_path: str | Path, artifact_path: str | None = None) -> None:
        """Stores a file under the folder `artifact_path` of the trial's record, of the study's where trial is None."""

    def close_trial(
        self,
        trial: str,
        state: State,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        """Ends the trial; `metrics` are recorded at its last epoch."""

    def close_study(
        self, state: State, metrics: Mapping[str, float], tags: Mapping[str, str], *, timestamp_ms: int | None = None
    ) -> None:
        """Ends the study's record."""

    def run_id(self, trial: str | None, timeout_s: float = 10.0) -> str | None:
        """The store's own identifier of a trial (None: of the study), or None where there is none yet."""

    def answers(self) -> bool:
        """Whether the store takes requests now. Then what keeps failing is one record's own fault."""

    def ended_trials(self, timeout_s: float = 10.0) -> frozenset[str] | None:
        """The study's trials whose record has ended, after all that was said; None if that takes too long. Those that
        are interrupted have not."""

    def flush(self, timeout_s: float) -> int:
        """Waits for what was said to arrive; the number of records still pending."""

    def close(self) -> None:
        """Releases threads and files. Ends no trial and no study."""
