"""The one place where the driver records what happened to a trial: journal first, then tracker, then watchers.

A trial's figures take seconds to draw, and the search waits for none of them: an ended trial is closed in the
background.
"""

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.process.background import Background
from orchestrator.process.logs import event
from orchestrator.process.redact import redact
from orchestrator.study.journal import Ending, Journal, TrialRecord
from orchestrator.tracking.tracker import DatasetInput, EpochPoint, Tracker
from trainables.config.trial import TrialConfig

logger = logging.getLogger(__name__)


class Recorder:
    """Takes events from the search and, from several threads, from the finalists; each is recorded once, however
    often it is told."""

    def __init__(
        self,
        journal: Journal,
        tracker: Tracker,
        dataset: DatasetInput,
        tags: Mapping[str, str],
        *,
        on_change: Callable[[str | None], None] = lambda trial: None,
        on_end: Callable[[TrialRecord], bool] = lambda record: True,
    ) -> None:
        """`on_change` is called after every event with the trial that changed, or None for the study.

        `on_end` is called once in the background for every ended trial, before the trial is closed at the tracker. It
        returns whether it recorded everything it adds; if not, a resume closes the trial again.
        """
        self.journal = journal
        self.tracker = tracker
        self._on_change, self._on_end = on_change, on_end
        self._dataset = dataset
        self._tags = dict(tags)
        self._lock = threading.RLock()
        self._closing = Background("ended-trials")
        self._opened = dict[str, TrialRecord]()

    def trial_started(
        self, trial: str, kind: str, params: Mapping[str, Any], config: TrialConfig, of: str | None = None
    ) -> None:
        """A trial exists from here on. One that the journal knows is told to the tracker again as far as it went,
        since a kill may have come between the two; the tracker keeps what it has."""
        with self._lock:
            known = self.journal.state.trials.get(trial)
            if known is None:
                self.journal.append("trial", trial=trial, kind=kind, params=dict(params), seed=config.seed, of=of)
            event(logger, "trial started", trial=trial, kind=kind, params=dict(params), seed=config.seed, of=of)
            tags = {**self._tags, "aib.kind": kind, **({"aib.of": of} if of else {})}
            self._opened[trial] = self.journal.state.trials[trial]
            started_ms = _ms(self._opened[trial].started_s)
            self.tracker.open_trial(trial, trial, config.to_dict(), tags, self._dataset, timestamp_ms=started_ms)
            if known is not None and known.history:
                now_ms = _ms(self.journal.now_s())
                self.tracker.log_epochs(
                    trial, [EpochPoint(int(row["epoch"]), _logged(row), now_ms) for row in known.history]
                )
            self._on_change(trial)

    def epoch(self, trial: str, metrics: Mapping[str, float]) -> None:
        """One epoch's metrics; told again after a resume, it is dropped."""
        with self._lock:
            if metrics["epoch"] <= self.journal.state.trials[trial].epoch:
                return
            self.journal.append("epoch", durable=False, trial=trial, metrics=dict(metrics))
            event(logger, "epoch", trial=trial, epoch=int(metrics["epoch"]), metrics=_logged(metrics))
            self.tracker.log_epoch(trial, int(metrics["epoch"]), _logged(metrics), _ms(self.journal.now_s()))
            self._on_change(trial)

    def trial_ended(self, trial: str, state: Ending, reason: str = "", failure_kind: str = "") -> None:
        """The trial's last word. Once its line is in the journal no resume runs the trial again.

        Raises what kept an earlier one from being closed.
        """
        with self._lock:
            record = self.journal.state.trials[trial]
            if record.state == "running":
                ended = {"trial": trial, "state": state, "reason": redact(reason), "failure_kind": failure_kind}
                self.journal.append("ended", durable=True, **ended)
                event(logger, "trial ended", **ended, epoch=record.epoch)
            self._closing.do(functools.partial(self._close, record))
            self._on_change(trial)

    def _close(self, record: TrialRecord) -> None:
        whole = self._on_end(record)
        with self._lock:
            why = {"aib.reason": record.reason, "aib.failure_kind": record.failure_kind}
            tags = {name: value for name, value in why.items() if value}
            ended_ms = None if record.ended_s is None else _ms(record.ended_s)
            self.tracker.close_trial(record.trial, record.state, {}, tags, timestamp_ms=ended_ms)  # type: ignore[arg-type]
            if whole and not record.recorded:
                self.journal.append("recorded", durable=False, trial=record.trial)

    def leave_unfinished(self) -> None:
        """Tells the tracker that the trials which have not ended are interrupted; a resume opens them again."""
        with self._lock:
            for record in self._opened.values():
                if record.state == "running":
                    self.tracker.close_trial(
                        record.trial, "interrupted", {}, {}, timestamp_ms=_ms(self.journal.now_s())
                    )

    def settle(self) -> None:
        """Waits until every trial that ended is closed; raises what kept one from it."""
        self._closing.settle()

    def stage(self, name: str) -> None:
        """The study as a whole moves on: searching, finalists, publishing, done, interrupted. Its ended trials are
        closed by then."""
        self.settle()
        with self._lock:
            if self.journal.state.stage != name:
                self.journal.append("stage", stage=name)
                event(logger, "stage", stage=name)
            self._on_change(None)


def _ms(time_s: float) -> int:
    return int(time_s * 1000)


def _logged(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "epoch"}
