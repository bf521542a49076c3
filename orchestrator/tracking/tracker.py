"""The tracker: the interface between the driver and whatever store keeps the record of a study.

Writing is idempotent: a record that is written twice is stored once. The store's runs are found by our own identifiers
of trials, so a restarted driver continues them.
"""

from collections.abc import Sequence
from typing import Protocol

from orchestrator.tracking.records import LogEpoch, Record
from trainables.errors import AIBError


class RecordRejectedError(AIBError):
    """The store will never accept this record as it is; the message says why. Retrying is useless."""


class TrackerUnavailableError(AIBError):
    """The store cannot be reached or is locked; the same call may succeed later."""


class Tracker(Protocol):
    """Implementations raise RecordRejectedError or TrackerUnavailableError; `BufferedTracker` raises neither."""

    def write(self, record: Record) -> None:
        """Stores one record."""

    def write_epochs(self, epochs: Sequence[LogEpoch]) -> None:
        """Stores several epochs of one trial in one request; at least one epoch."""

    def run_id(self, trial: str | None, timeout_s: float = 10.0) -> str | None:
        """The store's identifier of the trial's run (None: the study's); None while there is no such run."""

    def answers(self) -> bool:
        """Whether the store accepts requests now. If it does, a record that keeps failing is itself at fault."""

    def ended_trials(self, timeout_s: float = 10.0) -> frozenset[str] | None:
        """The study's trials that have ended, after all records written so far; None when that takes too long.

        An interrupted trial has not ended.
        """

    def flush(self, timeout_s: float) -> int:
        """Waits until all records have arrived; returns the number that are still pending after `timeout_s`."""

    def close(self) -> None:
        """Releases threads and files. Ends no trial and no study."""
