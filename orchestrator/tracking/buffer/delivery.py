"""The thread that delivers spooled records to a tracker, in order, until each has arrived.

Errors of a delivery:
- A malformed record, or RecordRejectedError: the record is set aside at once.
- TrackerUnavailableError: the record is retried without limit.
- Any other error: the record is retried at least `max_attempts` times, then set aside if the store accepts other
  requests. So a poison record does not block the rest, and a long outage loses no record.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, TypeVar

from orchestrator.process.precedence import suggestions
from orchestrator.process.redact import redact
from orchestrator.tracking.buffer.payload import from_payload, to_payload
from orchestrator.tracking.buffer.spool import REJECTED, Entry, Spool
from orchestrator.tracking.records import LogEpoch, OpenStudy
from orchestrator.tracking.tracker import RecordRejectedError, Tracker, TrackerUnavailableError

_LOG = logging.getLogger(__name__)
_WINDOW = 200
"""Largest number of records taken at once, and so of epochs in one request after an outage."""
_REST_S = 0.3
"""Pause before idle delivery sends new records. They come at a trial's end, when a slot waits for the next suggestion;
sending at once would slow the suggestion down."""
T = TypeVar("T")


class _StoppedError(Exception):
    """The thread must stop while it waits to retry."""


class Delivery:
    """Owns the spool and the tracker `inner`; the thread closes both when it ends."""

    def __init__(
        self,
        inner: Tracker,
        spool: Spool,
        first_delay_s: float = 0.5,
        max_delay_s: float = 30.0,
        max_attempts: int = 40,
    ) -> None:
        self._inner = inner
        self._spool = spool
        self._first_delay_s, self._max_delay_s, self._max_attempts = first_delay_s, max_delay_s, max_attempts
        self._delay_s = first_delay_s
        self._changed = threading.Condition()
        self._inner_lock = threading.Lock()
        self._stopping = False
        self._awaited = 0
        """Number of callers that wait for records to arrive."""
        self._header = spool.header if spool.pending else None
        self.num_rejected = 0
        self.last_error: str | None = None
        """Why delivery is failing now; None while it works."""
        self._thread = threading.Thread(target=self._run, name="tracking-delivery", daemon=True)
        self._thread.start()

    @property
    def num_pending(self) -> int:
        return len(self._spool.pending)

    def add(self, payload: Mapping[str, Any]) -> Entry:
        """Spools an object and returns; the thread delivers it."""
        with self._changed:
            if self._stopping:
                raise RuntimeError("the tracker is closed")
            entry = self._spool.append(payload)
            self._changed.notify_all()
        return entry

    def reject(self, payload: Mapping[str, Any], reason: str) -> None:
        """Sets aside an object that could not be spooled."""
        with self._changed:
            self._set_aside(Entry(0, dict(payload)), reason)

    def wait_empty(self, timeout_s: float) -> int:
        """Retries at once if delivery was waiting; returns the number of records left after at most `timeout_s`."""
        with self._changed:
            self._delay_s = 0.0
            self._wait_for(lambda: not self._spool.pending, timeout_s)
            return len(self._spool.pending)

    def ask(self, question: Callable[[Tracker], T | None], opens: Callable[[Any], bool], timeout_s: float) -> T | None:
        """Asks the inner tracker once no pending record satisfies `opens`; None if `timeout_s` passes before."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            arrived = self._wait_for(
                lambda: self._header is None and not any(opens(entry.payload) for entry in self._spool.pending),
                timeout_s,
            )
        if not arrived or not self._inner_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return None
        try:
            return question(self._inner)
        except Exception as error:  # no kind of outage may reach the caller
            _LOG.warning("the tracking store gave no answer: %s", redact(str(error)))
            return None
        finally:
            self._inner_lock.release()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after its present request. Pending records stay on disk."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _wait_for(self, arrived: Callable[[], bool], timeout_s: float) -> bool:
        """Waits with the lock held; meanwhile delivery does not rest."""
        self._awaited += 1
        self._changed.notify_all()
        try:
            return self._changed.wait_for(arrived, timeout_s)
        finally:
            self._awaited -= 1

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    if not self._spool.pending:
                        self._changed.wait_for(lambda: self._stopping or self._spool.pending)
                        self._changed.wait_for(lambda: self._stopping or self._awaited > 0, _REST_S)
                    if self._stopping:
                        return
                    window = [entry for entry, _ in zip(self._spool.pending, range(_WINDOW), strict=False)]
                self._deliver_header()
                self._deliver_front(window)
        except _StoppedError:
            return
        finally:
            with self._inner_lock:
                self._inner.close()
            with self._changed:
                self._spool.close()
                self._changed.notify_all()

    def _deliver_header(self) -> None:
        """Opens the study again first, when an earlier process left records of it."""
        if self._header is not None:
            self._deliver_until_done([Entry(0, self._header)])
            with self._changed:
                self._header = None

    def _deliver_front(self, window: list[Entry]) -> None:
        """Delivers the first record, or all leading epochs with one request per trial."""
        epochs = list(takewhile(lambda entry: entry.payload.get("kind") == LogEpoch.__name__, window))
        if epochs:
            by_trial: dict[str, list[Entry]] = {}
            for entry in epochs:
                by_trial.setdefault(str(entry.payload.get("trial")), []).append(entry)
            for entries in by_trial.values():
                self._deliver_until_done(entries)
            last, file = epochs[-1], None
        else:
            last = window[0]
            file = last.payload.get("local_path") if self._deliver_until_done([last]) else None
        with self._changed:
            self._spool.mark_delivered(last.seq)
            if file is not None:  # removed last: after a crash the record is delivered again and needs its file
                self._spool.drop_file(file)
            self._changed.notify_all()

    def _deliver_until_done(self, entries: list[Entry]) -> bool:
        """True when the records have arrived, False when some were set aside; raises _StoppedError on a stop."""
        attempt = 0
        while True:
            reason = None
            attempt += 1
            suggestions.give_way()
            try:
                with self._inner_lock:
                    self._call(entries)
            except RecordRejectedError as error:
                reason = str(error)
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                reason = f"malformed record ({type(error).__name__}: {error})"
            except TrackerUnavailableError as error:
                self._pause(error)
                continue
            except Exception as error:
                if attempt < self._max_attempts or not self._store_answers():
                    self._pause(error)
                    continue
                reason = f"{type(error).__name__} in {attempt} attempts: {error}"
            if reason is None:
                self._recovered()
                return True
            if len(entries) > 1:
                return all([self._deliver_until_done([entry]) for entry in entries])
            with self._changed:
                self._set_aside(entries[0], reason)
            return False

    def _store_answers(self) -> bool:
        with self._inner_lock:
            return self._inner.answers()

    def _call(self, entries: list[Entry]) -> None:
        records = [from_payload(entry.payload) for entry in entries]
        if len(records) == 1:
            self._inner.write(records[0])
        else:
            self._inner.write_epochs([record for record in records if isinstance(record, LogEpoch)])
        if isinstance(records[0], OpenStudy):
            self._spool.header = to_payload(records[0])

    def _pause(self, error: Exception) -> None:
        reason = redact(f"{type(error).__name__}: {error}")
        with self._changed:
            if self.last_error is None:
                _LOG.warning(
                    "tracking is unavailable (%s). Nothing is lost: records wait in %s and are delivered later.",
                    reason.splitlines()[0][:300],
                    self._spool.folder,
                )
            self.last_error = reason
            # Grown before the wait, so that a flush can end the wait by setting the delay to 0.
            delay_s = self._delay_s
            self._delay_s = min(self._max_delay_s, max(self._first_delay_s, 2 * delay_s))
            grown_s = self._delay_s
            self._changed.wait_for(lambda: self._stopping or self._delay_s < grown_s, delay_s)
            if self._stopping:
                raise _StoppedError

    def _recovered(self) -> None:
        with self._changed:
            if self.last_error is not None:
                _LOG.warning("tracking is available again; %d records to deliver.", len(self._spool.pending))
            self.last_error = None
            self._delay_s = self._first_delay_s

    def _set_aside(self, entry: Entry, reason: str) -> None:
        reason = redact(reason)
        self.num_rejected += 1
        _LOG.error(
            "the tracking store refused a %s record of %s: %s. It is kept in %s.",
            entry.payload.get("kind", "malformed"),
            entry.payload.get("trial") or "the study",
            reason,
            self._spool.folder / REJECTED,
        )
        self._spool.set_aside(entry, reason)
