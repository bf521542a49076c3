"""The search itself: Ray Tune drives trials that lease slots; our searcher proposes, ASHA stops."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Stopper
from ray.tune.execution import class_cache, experiment_state

from orchestrator.search.reconcile import reap, reconcile_optuna
from orchestrator.search.scheduler import build_scheduler
from orchestrator.search.searcher import StudySearcher
from orchestrator.search.trial_actor import Trial, trial_resources
from orchestrator.slots.pool import SlotPool
from orchestrator.study.journal import StudyState
from orchestrator.study.study import Study
from orchestrator.tracking.recorder import Recorder
from search_spaces.schema import SearchSpec
from trainables.config.trial import TrialConfig

TUNE_SETTINGS = {
    # Our own handlers answer signals; Tune's would turn Ctrl-C into a success.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The journal is what a resume reads; Tune's own snapshots and per-trial loggers would only cost time.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    # A trial that failed ends with a result that has no metrics.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Our searcher says how many run at a time. Tune itself would start one actor after the other.
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",
    # The live table is ours.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
STORAGE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
ACTOR_FAILURES = 3
"""How often Tune starts a trial's own actor anew; lost workers are counted in the slot."""


class _Interruption(Stopper):
    """Ends Tune's loop once an interruption is asked for, or the storage is full; the trials it cuts off are left to be
    resumed."""

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


def trials_left(spec: SearchSpec, state: StudyState) -> int:
    """Planned trials of the search that have not ended."""
    return spec.trials - sum(record.state != "running" for record in state.of_kind("search"))


def run_search(
    study: Study,
    recorder: Recorder,
    pool: SlotPool,
    data_root: Path,
    resolve: Callable[[Mapping[str, Any]], TrialConfig],
    interrupted: threading.Event,
) -> None:
    """Runs the search's trials until the planned number has ended, or until it is interrupted.

    Optuna is first brought up to the journal, so that a kill between the two leaves no trial in between. Raises
    StorageError where a checkpoint cannot be stored: the trials in progress are left to be resumed.
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
            # A trial's checkpoints are its workers'; its actor has nothing to keep.
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
    """Its settings as the search wants them, for this process."""
    os.environ.update(TUNE_SETTINGS)
    # Trials' actors store nothing; Tune would give them the keys in a runtime environment, which Ray logs.
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(STORAGE_KEYS)
    # Of Tune's own snapshots, which nobody reads: on a full disk our own message says what to do.
    logging.getLogger(experiment_state.__name__).setLevel(logging.CRITICAL)
