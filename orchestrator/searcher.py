"""Optuna behind Ray Tune's Searcher interface, exact across restarts.

Ray's own OptunaSearch reports early stops as COMPLETE, never sets constraints, enqueues first points again on a
restart and is restored from a pickle. Here the Optuna storage is the only state: every suggestion is sampled by a
sampler seeded with (seed, trial number), so a search that was killed suggests what it would have suggested.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState as OptunaState
from ray.tune.search import Searcher

from orchestrator.journal import Ending, TrialRecord
from orchestrator.optuna_space import from_params, to_optuna, to_params
from orchestrator.ranking import violations
from orchestrator.recorder import Recorder
from orchestrator.trial import epoch_metrics, trial_failure, trial_failure_kind, tune_config
from search_spaces.schema import SearchSpec
from trainables.config import TrialConfig
from trainables.errors import StorageError
from trainables.randomness import stream_seed

OPTUNA_STATES = {
    "completed": OptunaState.COMPLETE,
    "stopped": OptunaState.PRUNED,
    "failed": OptunaState.FAIL,
}


def trial_name(number: int) -> str:
    """Our own name of the search's trial, the same before and after a resume."""
    return f"t{number:05d}"


def open_optuna_study(spec: SearchSpec, storage_url: str) -> optuna.Study:
    """The persistent study, created with its first points or opened as it is."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _stored():
        study = optuna.create_study(
            storage=storage_url,
            study_name=spec.name,
            directions=[objective.goal for objective in spec.objectives],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([objective.metric for objective in spec.objectives])
        for point in _known_points(spec):
            study.enqueue_trial(from_params(spec.space, point), skip_if_exists=True)
    return study


@contextmanager
def _stored() -> Iterator[None]:
    """Raises StorageError where Optuna's database does not take what it is given."""
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        raise StorageError.at("Optuna's database", error.__cause__ or error) from None


def _known_points(spec: SearchSpec) -> list[Mapping[str, Any]]:
    """The spec's first points; a grid is nothing but known points, in the order of the space's keys."""
    points: list[Mapping[str, Any]] = list(spec.first)
    if spec.sampler.name == "grid":
        axes = [distribution.grid() or () for distribution in spec.space.values()]
        grid = [dict(zip(spec.space, values, strict=True)) for values in product(*axes)]
        points += [point for point in grid if point not in points]
    return points[: spec.trials]


def build_sampler(spec: SearchSpec, number: int) -> BaseSampler:
    """A sampler for one suggestion; its randomness depends on the spec's seed and the trial's number alone."""
    seed = stream_seed(spec.sampler.seed, "suggest", number) % 2**32
    # Ten random trials, Optuna's default, would be most of a small search.
    startup = max(4, min(10, spec.trials // 4))
    match spec.sampler.name:
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=startup)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=startup)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=max(4, min(50, spec.trials // 4)))
        case "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=startup)
        case _:
            return RandomSampler(seed=seed)


class StudySearcher(Searcher):
    """Hands out unfinished trials first, then new suggestions, until the planned number is reached."""

    def __init__(
        self,
        spec: SearchSpec,
        study: optuna.Study,
        recorder: Recorder,
        resolve: Callable[[Mapping[str, Any]], TrialConfig],
        at_once: Callable[[], int],
    ) -> None:
        """`at_once` says how many trials may run now; Tune, told a number, would keep to it as nodes come and go."""
        # Several objectives, or one: Tune itself is not told any, since it does not choose between trials.
        super().__init__(metric=None, mode=None)
        self._spec, self._study, self._recorder, self._resolve = spec, study, recorder, resolve
        self._at_once = at_once
        self._distributions = to_optuna(spec.space)
        self._running: dict[str, optuna.trial.Trial] = {}
        self._configs: dict[str, TrialConfig] = {}
        self._unfinished = [t.number for t in study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,))]
        self.interrupted = False
        """Set before Tune is told to stop: trials ending after that are left to the next resume."""
        self.out_of_storage = ""
        """Why the storage took no checkpoint; then the search is interrupted, and no trial has failed."""

    def suggest(self, trial_id: str) -> Any:
        """What Tune carries for the next trial (`trial.tune_config`), None while enough run, or Searcher.FINISHED."""
        suggested: Any = Searcher.FINISHED
        with self._halting():
            suggested = self._suggest(trial_id)
        return suggested

    def _suggest(self, trial_id: str) -> Any:
        if len(self._running) >= self._at_once():
            return None
        trials = self._study.get_trials(deepcopy=False)
        waiting = [t.number for t in trials if t.state == OptunaState.WAITING]
        started = len(trials) - len(waiting)
        if self.interrupted or (not self._unfinished and started >= self._spec.trials):
            return Searcher.FINISHED
        if self._unfinished:
            number = self._unfinished.pop(0)
            self._study.sampler = build_sampler(self._spec, number)
            trial = optuna.trial.Trial(self._study, trials[number]._trial_id)
        else:
            number = waiting[0] if waiting else len(trials)
            self._study.sampler = build_sampler(self._spec, number)
            trial = self._study.ask()
        params = to_params(self._spec.space, {name: _value(trial, name, d) for name, d in self._distributions.items()})
        config = self._resolve(params)
        self._running[trial_id], self._configs[trial_id] = trial, config
        self._recorder.trial_started(trial_name(number), "search", params, config)
        return tune_config(trial_name(number), config)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """One epoch of a trial that goes on."""
        metrics = epoch_metrics(result)
        if metrics and not self.out_of_storage:
            with self._halting():
                self._take(self._running[trial_id], metrics)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial's end: in full, stopped early, failed; or cut short by an interruption, and then nothing is told."""
        trial = self._running.pop(trial_id, None)
        if trial is None or self.interrupted:
            return
        if trial_failure_kind(result or {}) == StorageError.__name__:
            # No fault of the trial's: it would be every other's next.
            self.out_of_storage, self.interrupted = trial_failure(result or {}), True
            return
        with self._halting():
            self._end(trial_id, trial, result or {}, error)

    def _end(self, trial_id: str, trial: optuna.trial.Trial, result: dict[str, Any], error: bool) -> None:
        metrics = epoch_metrics(result)
        if metrics:
            self._take(trial, metrics)
        failure, kind = trial_failure(result), trial_failure_kind(result)
        if error and not failure:
            failure, kind = "the trial's actor died too often", "ActorLost"
        epochs = self._configs.pop(trial_id).epochs
        state: Ending = "failed" if failure else "completed" if metrics.get("epoch", 0) >= epochs else "stopped"
        self._recorder.trial_ended(trial_name(trial.number), state, failure, kind)
        tell(self._spec, self._study, self._recorder.journal.state.trials[trial_name(trial.number)])

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """Ends the search where journal or database cannot be written: Tune would go on after an error of ours."""
        try:
            with _stored():
                yield
        except StorageError as error:
            self.out_of_storage, self.interrupted = str(error), True

    def _take(self, trial: optuna.trial.Trial, metrics: dict[str, float]) -> None:
        self._recorder.epoch(trial_name(trial.number), metrics)
        if len(self._spec.objectives) == 1:
            trial.report(metrics[self._spec.objectives[0].metric], int(metrics["epoch"]))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the Optuna storage and the journal are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a resume builds a new searcher over the same storage."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments into tuner.pkl, which is never read back.
        return {}


def tell(spec: SearchSpec, study: optuna.Study, record: TrialRecord) -> None:
    """Tells Optuna how a recorded trial ended: values and constraints, PRUNED for an early stop, FAIL otherwise."""
    number = int(record.trial[1:])
    with _stored():
        frozen = study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return
        trial = optuna.trial.Trial(study, frozen._trial_id)
        for name, value in violations(spec, record.outcome).items():
            trial.set_constraint(name, value)
        values = [record.outcome.get(objective.metric, math.nan) for objective in spec.objectives]
        if record.state == "completed" and all(map(math.isfinite, values)):
            study.tell(number, values)
        else:
            state = OPTUNA_STATES["failed" if record.state == "completed" else record.state]
            study.tell(number, state=state)


def _value(trial: optuna.trial.Trial, name: str, distribution: optuna.distributions.BaseDistribution) -> Any:
    """The trial's stored value, or the sampler's where the kill came between two parameters."""
    match distribution:
        case optuna.distributions.IntDistribution():
            return trial.suggest_int(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        case optuna.distributions.FloatDistribution():
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        case optuna.distributions.CategoricalDistribution():
            return trial.suggest_categorical(name, distribution.choices)
    raise TypeError(f"no suggestion for {distribution!r}")
