"""The searcher: Optuna behind Ray Tune's Searcher interface, exact across restarts.

Ray's own OptunaSearch reports early stops as COMPLETE, sets no constraints, enqueues the first points again after a
restart, and restores itself from a pickle. Here the Optuna storage is the only state.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.trial import TrialState as OptunaState
from ray.tune.search import Searcher

from orchestrator.process.precedence import suggestions
from orchestrator.search.optuna_space import to_optuna, to_params
from orchestrator.search.optuna_study import locks_explained, report, tell, trial_name
from orchestrator.search.sampler import SeededSampler
from orchestrator.search.trial_actor import epoch_metrics, trial_failure, trial_failure_kind, tune_config
from orchestrator.slots.messages import SlotError
from orchestrator.study.journal import Ending, LockLostError
from orchestrator.tracking.recorder import Recorder
from search_spaces.schema import SearchSpec
from trainables.config.trial import TrialConfig
from trainables.errors import AIBError, StorageError


class StudySearcher(Searcher):
    """Suggests unfinished trials first, then new trials, until the planned number is reached."""

    def __init__(
        self,
        spec: SearchSpec,
        study: optuna.Study,
        recorder: Recorder,
        resolve: Callable[[Mapping[str, Any]], TrialConfig],
        at_once: Callable[[], int],
    ) -> None:
        """`at_once` returns how many trials may run now; a number given to Tune would not follow joining nodes."""
        # Tune gets no objective, since it does not compare trials.
        super().__init__(metric=None, mode=None)
        self._spec, self._study, self._recorder, self._resolve = spec, study, recorder, resolve
        self._at_once = at_once
        self._study.sampler = SeededSampler(spec)
        self._distributions = to_optuna(spec.space)
        self._running: dict[str, optuna.trial.Trial] = {}
        self._configs: dict[str, TrialConfig] = {}
        unfinished = [t.number for t in study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,))]
        # Trials that are not in the journal come last: they take the place of new suggestions.
        self._unfinished = sorted(unfinished, key=lambda number: (not self._is_recorded(number), number))
        self.interrupted = False
        """Set before Tune stops; a resume continues the trials that end after that."""
        self.halted_by: AIBError | None = None
        """The error that kept a trial from being stored or recorded; it interrupts the search and fails no trial."""

    def suggest(self, trial_id: str) -> Any:
        """Returns the next trial for Tune (`tune_config`), None while enough trials run, or Searcher.FINISHED."""
        suggested: Any = Searcher.FINISHED
        with self._halting(), suggestions.first():
            suggested = self._suggest(trial_id)
        return suggested

    def _suggest(self, trial_id: str) -> Any:
        if len(self._running) >= self._at_once():
            return None
        num_recorded = len(self._recorder.journal.state.of_kind("search"))
        resumes = bool(self._unfinished) and self._is_recorded(self._unfinished[0])
        if self.interrupted or (not resumes and num_recorded >= self._spec.trials):
            return Searcher.FINISHED
        # Before asking Optuna: a replaced driver must not leave a suggestion that its successor has to clear.
        self._recorder.journal.check_ours()
        with locks_explained():
            trial = self._next_trial()
            values = {name: _value(trial, name, one) for name, one in self._distributions.items()}
            params = to_params(self._spec.space, values)
        config = self._resolve(params)
        self._running[trial_id], self._configs[trial_id] = trial, config
        self._recorder.trial_started(trial_name(trial.number), "search", params, config)
        return tune_config(trial_name(trial.number), config)

    def _is_recorded(self, number: int) -> bool:
        return trial_name(number) in self._recorder.journal.state.trials

    def _next_trial(self) -> optuna.trial.Trial:
        if self._unfinished:
            return self._taken_up(self._study.get_trials(deepcopy=False)[self._unfinished.pop(0)])
        return self._study.ask()

    def _taken_up(self, frozen: optuna.trial.FrozenTrial) -> optuna.trial.Trial:
        """Continues a trial that an earlier driver asked for; missing parameters get the values they would have had."""
        trial = optuna.trial.Trial(self._study, frozen._trial_id)
        if len(frozen.params) == len(self._distributions):
            return trial
        attributes = frozen.system_attrs
        if sampled := attributes.get(f"{self._spec.sampler.name}:relative_params:0"):
            # TPE and GP store what they sampled jointly; sampling again would see it as another running trial.
            with suppress(ValueError):  # Optuna splits values of more than 2046 characters
                trial._relative_params = json.loads(sampled)
                trial.relative_search_space = self._distributions
        known = attributes.get("fixed_params", {}).keys() | trial.relative_params.keys()
        for name, distribution in self._distributions.items():
            if name in frozen.params and name not in known and not distribution.single():
                # Draws it again, so that the next parameters get the draws they would have had.
                self._study.sampler.sample_independent(self._study, frozen, name, distribution)
        return trial

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Records one epoch of a running trial."""
        metrics = epoch_metrics(result)
        if metrics and self.halted_by is None:
            with self._halting():
                trial = self._running[trial_id]
                self._recorder.epoch(trial_name(trial.number), metrics)
                with locks_explained():
                    report(self._spec, trial, metrics)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Records a trial's end (completed, stopped early, failed); records nothing after an interruption."""
        trial = self._running.pop(trial_id, None)
        if trial is None or self.interrupted:
            return
        kind = trial_failure_kind(result or {})
        for fault in (StorageError, SlotError):
            if kind == fault.__name__:
                # Not the trial's fault: every other trial would fail next.
                self._halt(fault(trial_failure(result or {})))
                return
        with self._halting():
            self._end(trial, self._configs.pop(trial_id), result or {}, error)

    def _end(self, trial: optuna.trial.Trial, config: TrialConfig, result: dict[str, Any], error: bool) -> None:
        name, metrics = trial_name(trial.number), epoch_metrics(result)
        if metrics:
            self._recorder.epoch(name, metrics)
        failure, kind = trial_failure(result), trial_failure_kind(result)
        if error and not failure:
            failure, kind = "the trial's actor died too often", "ActorLost"
        record = self._recorder.journal.state.trials[name]
        # ASHA may stop a resumed trial at an epoch it had passed; a trial with its last epoch is complete.
        state: Ending = "failed" if failure else "completed" if record.epoch >= config.epochs else "stopped"
        self._recorder.trial_ended(name, state, failure, kind)
        with locks_explained():
            tell(self._spec, self._study, trial, record)

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """Ends the search where the journal or the database cannot be written; Tune alone would continue."""
        try:
            yield
        except (LockLostError, StorageError) as error:
            self._halt(error)

    def _halt(self, error: AIBError) -> None:
        self.halted_by, self.interrupted = error, True

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the Optuna storage and the journal hold the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing: a resume builds a new searcher over the same storage."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments into tuner.pkl, which is never read back.
        return {}


def _value(trial: optuna.trial.Trial, name: str, distribution: optuna.distributions.BaseDistribution) -> Any:
    """Returns the trial's stored value, or asks the sampler for one."""
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
