"""A Tracker that never makes its caller wait and never fails: calls go to disk, `Delivery` carries them on."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.tracking.buffer.delivery import Delivery, opens
from orchestrator.tracking.buffer.records import (
    CloseStudy,
    CloseTrial,
    LogArtifact,
    LogEpoch,
    OpenStudy,
    OpenTrial,
    to_payload,
)
from orchestrator.tracking.buffer.spool import REJECTED, Spool
from orchestrator.tracking.tracker import DatasetInput, EpochPoint, State, Tracker

_CLOSE_TIMEOUT_S = 10.0


class BufferedTracker:
    """Delivers to `inner` what the folder still holds from an earlier process, then what it is told.

    Exactly once in effect: a record may be delivered twice around a crash, and `inner` is idempotent. Files are
    copied, so the caller may remove its own at once. `inner` is used by one thread at a time and closed with this.
    """

    def __init__(self, inner: Tracker, spool: Spool, **retry: Any) -> None:
        """`retry`: first_delay_s, max_delay_s, max_attempts of `Delivery`."""
        self._spool = spool
        self._delivery = Delivery(inner, spool, **retry)

    @property
    def num_pending(self) -> int:
        """Records that have not arrived yet."""
        return self._delivery.num_pending

    @property
    def num_rejected(self) -> int:
        """Records that this process set aside in `rejected.jsonl`."""
        return self._delivery.num_rejected

    @property
    def rejected_file(self) -> Path:
        """Where those are."""
        return self._spool.folder / REJECTED

    @property
    def last_error(self) -> str | None:
        """Why delivery is failing now, without secrets; None while it works."""
        return self._delivery.last_error

    def open_study(
        self,
        study: str,
        signature: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        self._delivery.add(to_payload(OpenStudy(study, signature, params, tags, _at(timestamp_ms))))

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
        self._delivery.add(to_payload(OpenTrial(trial, name, params, tags, dataset, _at(timestamp_ms))))

    def log_epoch(self, trial: str, epoch: int, metrics: Mapping[str, float], timestamp_ms: int) -> None:
        self._delivery.add(to_payload(LogEpoch(trial, epoch, metrics, timestamp_ms)))

    def log_epochs(self, trial: str, points: Sequence[EpochPoint]) -> None:
        for point in points:
            self.log_epoch(trial, *point)

    def log_artifact(self, trial: str | None, local_path: str | Path, artifact_path: str | None = None) -> None:
        try:
            kept = self._spool.keep_file(local_path)
        except OSError as error:
            self._delivery.reject(to_payload(LogArtifact(trial, str(local_path), artifact_path)), str(error))
            return
        self._delivery.add(to_payload(LogArtifact(trial, str(kept), artifact_path)))

    def close_trial(
        self,
        trial: str,
        state: State,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        self._delivery.add(to_payload(CloseTrial(trial, state, metrics, tags, _at(timestamp_ms))))

    def close_study(
        self, state: State, metrics: Mapping[str, float], tags: Mapping[str, str], *, timestamp_ms: int | None = None
    ) -> None:
        self._delivery.add(to_payload(CloseStudy(state, metrics, tags, _at(timestamp_ms))))

    def run_id(self, trial: str | None, timeout_s: float = 10.0) -> str | None:
        """Waits until the record that opens it has arrived; None if the store stays away for `timeout_s`."""
        return self._delivery.ask(lambda inner: inner.run_id(trial), opens(trial), timeout_s)

    def ended_trials(self, timeout_s: float = 10.0) -> frozenset[str] | None:
        return self._delivery.ask(lambda inner: inner.ended_trials(), lambda payload: True, timeout_s)

    def answers(self) -> bool:
        return self.last_error is None

    def flush(self, timeout_s: float) -> int:
        return self._delivery.wait_empty(timeout_s)

    def close(self) -> None:
        """Stops delivering. What is pending waits on disk for the next process; call `flush` first to avoid that."""
        self._delivery.stop(_CLOSE_TIMEOUT_S)


def _at(timestamp_ms: int | None) -> int:
    """The time of the call, not of its delivery."""
    return int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
