"""Brings the tracking store into agreement with the journal after a loss; the journal is the source of truth."""

from collections.abc import Callable

from orchestrator.study.journal import TrialRecord
from orchestrator.tracking.recorder import Recorder
from trainables.config.trial import TrialConfig

STORE_WAIT_S = 30.0


def reconcile_store(recorder: Recorder, config: Callable[[TrialRecord], TrialConfig]) -> None:
    """Tells the tracking store again of every trial that has ended and of which it does not have the end.

    That may be for a kill between the journal's line and the store's, or because the store lost it or is another one.
    While the store does not answer, those are told that no process has told of yet.
    """
    there = recorder.tracker.ended_trials(STORE_WAIT_S)
    for record in list(recorder.journal.state.trials.values()):
        if record.state == "running" or (record.recorded and (there is None or record.trial in there)):
            continue
        recorder.trial_started(record.trial, record.kind, record.params, config(record), record.of)
        recorder.trial_ended(record.trial, record.state, record.reason, record.failure_kind)
    recorder.settle()
