"""A Tracker that neither blocks nor fails: records go to disk first, and a thread delivers them later."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.tracking.buffer.delivery import Delivery
from orchestrator.tracking.buffer.payload import opens, to_payload
from orchestrator.tracking.buffer.spool import REJECTED, Spool
from orchestrator.tracking.records import LogArtifact, LogEpoch, Record
from orchestrator.tracking.tracker import Tracker

_CLOSE_TIMEOUT_S = 10.0


class BufferedTracker:
    """Delivers to `inner` what an earlier process left in the spool, then the records written here.

    Exactly once in effect: around a crash a record may be delivered twice, and `inner` is idempotent. Files are copied,
    so the caller may remove its own at once. One thread at a time uses `inner`; closing this closes `inner` too.
    """

    def __init__(self, inner: Tracker, spool: Spool, **retry: Any) -> None:
        """`retry`: first_delay_s, max_delay_s, max_attempts of `Delivery`."""
        self._spool = spool
        self._delivery = Delivery(inner, spool, **retry)

    @property
    def num_pending(self) -> int:
        """Number of records that have not arrived yet."""
        return self._delivery.num_pending

    @property
    def num_rejected(self) -> int:
        """Number of records that this process moved to `rejected_file`."""
        return self._delivery.num_rejected

    @property
    def rejected_file(self) -> Path:
        """The file of rejected records."""
        return self._spool.folder / REJECTED

    @property
    def last_error(self) -> str | None:
        """Why delivery is failing now, without secrets; None while it works."""
        return self._delivery.last_error

    def write(self, record: Record) -> None:
        if isinstance(record, LogArtifact):
            try:
                record = dataclasses.replace(record, local_path=self._spool.keep_file(record.local_path))
            except OSError as error:
                self._delivery.reject(to_payload(record), str(error))
                return
        self._delivery.add(to_payload(record))

    def write_epochs(self, epochs: Sequence[LogEpoch]) -> None:
        for epoch in epochs:
            self.write(epoch)

    def run_id(self, trial: str | None, timeout_s: float = 10.0) -> str | None:
        """Waits until the record that opens the run has arrived; None if it has not after `timeout_s`."""
        return self._delivery.ask(lambda inner: inner.run_id(trial), opens(trial), timeout_s)

    def ended_trials(self, timeout_s: float = 10.0) -> frozenset[str] | None:
        return self._delivery.ask(lambda inner: inner.ended_trials(), lambda payload: True, timeout_s)

    def answers(self) -> bool:
        return self.last_error is None

    def flush(self, timeout_s: float) -> int:
        return self._delivery.wait_empty(timeout_s)

    def close(self) -> None:
        """Stops delivery. Pending records wait on disk for the next process; call `flush` first to avoid that."""
        self._delivery.stop(_CLOSE_TIMEOUT_S)
