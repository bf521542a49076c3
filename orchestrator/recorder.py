"""The one place where the driver records what happened to a trial: journal first, then tracker, then watchers."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.journal import Journal, TrialState
from orchestrator.tracking.tracker import DatasetInput, Tracker
from trainables.config import TrialConfig

Watcher = Callable[[], None]


class Recorder:
    """Takes events from the search and from the finalists; each is recorded once, however often it is told."""

    def __init__(self, journal: Journal, tracker: Tracker, dataset: DatasetInput, tags: Mapping[str, str]) -> None:
        self.journal = journal
        self.tracker = tracker
        self._dataset = dataset
        self._tags = dict(tags)
        self.watchers: list[Watcher] = []

    def trial_started(
        self, trial: str, kind: str, params: Mapping[str, Any], config: TrialConfig, of: str | None = None
    ) -> None:
        """A trial exists from here on; a resumed one is only opened again at the tracker."""
        if trial not in self.journal.state.trials:
            self.journal.append("trial", trial=trial, kind=kind, params=dict(params), seed=config.seed, of=of)
        tags = {**self._tags, "aib.kind": kind, **({"aib.of": of} if of else {})}
        self.tracker.open_trial(trial, trial, config.to_dict(), tags, self._dataset)
        self._tell()

    def epoch(self, trial: str, metrics: Mapping[str, float]) -> None:
        """One epoch's metrics; told again after a resume, it is dropped."""
        if metrics["epoch"] <= self.journal.state.trials[trial].epoch:
            return
        self.journal.append("epoch", durable=False, trial=trial, metrics=dict(metrics))
        self.tracker.log_epoch(trial, int(metrics["epoch"]), metrics, int(time.time() * 1000))
        self._tell()

    def trial_ended(self, trial: str, state: TrialState, reason: str = "") -> None:
        """The trial's last word. After this line is in the journal no resume runs the trial again."""
        record = self.journal.state.trials[trial]
        if record.state == "running":
            self.journal.append("ended", trial=trial, state=state, reason=reason)
        tags = {"aib.state": state, **({"aib.reason": reason} if reason else {})}
        self.tracker.close_trial(trial, state, record.outcome, tags)
        self._tell()

    def stage(self, name: str) -> None:
        """The study as a whole moves on: searching, finalists, publishing, done, interrupted."""
        self.journal.append("stage", stage=name)
        self._tell()

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher()
