"""Writes to the tracking store what it lacks after a loss; the journal is the source of truth."""

from collections.abc import Callable

from orchestrator.study.journal import TrialRecord
from orchestrator.tracking.recorder import Recorder
from trainables.config.trial import TrialConfig

STORE_WAIT_S = 30.0


def reconcile_store(recorder: Recorder, config: Callable[[TrialRecord], TrialConfig]) -> None:
    """Writes every ended trial again whose end the store lacks.

    The store may lack it because the driver was killed between the journal's line and the store's, because the store
    lost it, or because it is another store. While the store does not answer, only trials without the journal's
    `recorded` entry are written again.
    """
    ended = recorder.tracker.ended_trials(STORE_WAIT_S)
    for record in list(recorder.journal.state.trials.values()):
        if record.state == "running" or (record.recorded and (ended is None or record.trial in ended)):
            continue
        recorder.trial_started(record.trial, record.kind, record.params, config(record), record.of)
        recorder.trial_ended(record.trial, record.state, record.reason, record.failure_kind)
    recorder.settle()
