"""Runs the search's trials with Ray Tune: trial actors lease slots, our searcher suggests, ASHA stops."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Stopper
from ray.tune.execution import class_cache, experiment_state

from orchestrator.search.reconcile_optuna import reap, reconcile_optuna
from orchestrator.search.scheduler import build_scheduler
from orchestrator.search.searcher import StudySearcher
from orchestrator.search.trial_actor import Trial, trial_resources
from orchestrator.slots.pool import SlotPool
from orchestrator.study.outcome import trials_left
from orchestrator.study.study import Study
from orchestrator.tracking.recorder import Recorder
from trainables.config.trial import TrialConfig

TUNE_SETTINGS = {
    # We handle signals ourselves; with Tune's handler Ctrl-C would end in success.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A resume reads the journal; Tune's snapshots and per-trial loggers would only cost time.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    # A failed trial ends with a result without metrics.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Our searcher limits how many trials run at a time. By default Tune starts one actor after another.
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",
    # We print our own live table.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
STORAGE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
ACTOR_FAILURES = 3
"""How often Tune restarts a trial's own actor; the slot counts lost workers."""


class _Interruption(Stopper):
    """Ends Tune's loop after a signal or a full storage; a resume continues the trials it cuts off."""

    def __init__(self, requested: threading.Event, searcher: StudySearcher) -> None:
        self._requested, self._searcher = requested, searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        self._searcher.interrupted |= self._requested.is_set()
        return self._searcher.interrupted

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments into tuner.pkl, which is never read back.
        return {}


def run_search(
    study: Study,
    recorder: Recorder,
    pool: SlotPool,
    data_root: Path,
    resolve: Callable[[Mapping[str, Any]], TrialConfig],
    interrupted: threading.Event,
) -> None:
    """Runs the search's trials until the planned number has ended, or until `interrupted` is set.

    First it reconciles Optuna with the journal, since a kill may have come between the two. Raises StorageError where a
    checkpoint cannot be stored; a resume continues the trials in progress.
    """
    spec, state = study.spec, recorder.journal.state
    optuna_study = reconcile_optuna(spec, study.paths.optuna_db, state.of_kind("search"))
    ended = [record for record in state.of_kind("search") if record.state != "running"]
    remaining = trials_left(spec, state)
    if remaining <= 0:
        reap(optuna_study, state.of_kind("search"))
        return
    _prepare_tune()
    searcher = StudySearcher(spec, optuna_study, recorder, resolve, at_once=lambda: pool.size)
    trainable = tune.with_parameters(
        Trial,
        pool=pool.ref,
        storage=study.storage,
        data_root=data_root,
        max_failures=spec.max_failures_per_trial,
    )
    tune.Tuner(
        tune.with_resources(trainable, trial_resources()),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=build_scheduler(spec, resolve({}).epochs, ended),
            num_samples=remaining,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            # The workers write a trial's checkpoints; its actor has none.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            storage_path=str(study.paths.scratch),
            stop=_Interruption(interrupted, searcher),
            failure_config=tune.FailureConfig(max_failures=ACTOR_FAILURES),
            verbose=0,
        ),
    ).fit()
    if searcher.halted_by is not None:
        raise searcher.halted_by
    if not searcher.interrupted:
        reap(optuna_study, state.of_kind("search"))


def _prepare_tune() -> None:
    """Applies the search's settings for Tune to this process."""
    os.environ.update(TUNE_SETTINGS)
    # Tune would pass storage keys to trial actors in a runtime environment, which Ray logs. The actors store nothing.
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(STORAGE_KEYS)
    # Hides errors of Tune's snapshots, which no code reads; on a full disk our own message says what to do.
    logging.getLogger(experiment_state.__name__).setLevel(logging.CRITICAL)
