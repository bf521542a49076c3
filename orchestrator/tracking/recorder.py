"""Records what happens to trials: the one place where the driver writes to the journal, then the tracker.

Drawing a trial's figures takes seconds. An ended trial is therefore closed in the background, and the search continues.
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
from orchestrator.tracking.records import CloseTrial, DatasetInput, LogEpoch, OpenTrial
from orchestrator.tracking.tracker import Tracker
from trainables.config.trial import TrialConfig

logger = logging.getLogger(__name__)


class Recorder:
    """Records events of trials, from one or several threads. Reporting an event again changes nothing."""

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
        """Records that the trial exists. A trial that is already in the journal keeps its entry there.

        The epochs of such a trial are written to the tracker again, since a kill may have come between the journal's
        line and the tracker's; the tracker skips epochs that it has.
        """
        with self._lock:
            known = self.journal.state.trials.get(trial)
            if known is None:
                self.journal.append("trial", trial=trial, kind=kind, params=dict(params), seed=config.seed, of=of)
            event(logger, "trial started", trial=trial, kind=kind, params=dict(params), seed=config.seed, of=of)
            tags = {**self._tags, "aib.kind": kind, **({"aib.of": of} if of else {})}
            self._opened[trial] = self.journal.state.trials[trial]
            started_ms = _ms(self._opened[trial].started_s)
            self.tracker.write(OpenTrial(trial, trial, config.to_dict(), tags, self._dataset, started_ms))
            if known is not None and known.history:
                now_ms = _ms(self.journal.now_s())
                self.tracker.write_epochs(
                    [LogEpoch(trial, int(row["epoch"]), _logged(row), now_ms) for row in known.history]
                )
            self._on_change(trial)

    def trial_stepped(self, trial: str) -> None:
        """Records that the trial's workers have made their first step: it runs, and no longer starts."""
        with self._lock:
            record = self.journal.state.trials.get(trial)
            if record is not None and record.state == "running" and not record.stepped:
                self.journal.append("stepped", durable=False, trial=trial)
                self._on_change(trial)

    def epoch(self, trial: str, metrics: Mapping[str, float]) -> None:
        """Records one epoch's metrics; an epoch that is already recorded is dropped, as after a resume."""
        with self._lock:
            if metrics["epoch"] <= self.journal.state.trials[trial].epoch:
                return
            self.journal.append("epoch", durable=False, trial=trial, metrics=dict(metrics))
            event(logger, "epoch", trial=trial, epoch=int(metrics["epoch"]), metrics=_logged(metrics))
            self.tracker.write(LogEpoch(trial, int(metrics["epoch"]), _logged(metrics), _ms(self.journal.now_s())))
            self._on_change(trial)

    def trial_ended(self, trial: str, state: Ending, reason: str = "", failure_kind: str = "") -> None:
        """Records the trial's end. Once its line is in the journal, no resume runs the trial again.

        Raises the error that kept an earlier trial from being closed.
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
        complete = self._on_end(record)
        with self._lock:
            assert record.state != "running"
            assert record.ended_s is not None
            why = {"aib.reason": record.reason, "aib.failure_kind": record.failure_kind}
            tags = {name: value for name, value in why.items() if value}
            self.tracker.write(CloseTrial(record.trial, record.state, {}, tags, _ms(record.ended_s)))
            if complete and not record.recorded:
                self.journal.append("recorded", durable=False, trial=record.trial)

    def leave_unfinished(self) -> None:
        """Closes the unfinished trials as interrupted at the tracker; a resume opens them again."""
        with self._lock:
            for record in self._opened.values():
                if record.state == "running":
                    self.tracker.write(CloseTrial(record.trial, "interrupted", {}, {}, _ms(self.journal.now_s())))

    def settle(self) -> None:
        """Waits until every ended trial is closed at the tracker; raises the error that kept one from being closed."""
        self._closing.settle()

    def stage(self, name: str) -> None:
        """Records the study's stage: searching, finalists, publishing, done, interrupted. Settles first."""
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
