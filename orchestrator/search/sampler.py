"""The spec's Optuna sampler; its randomness depends only on the spec's seed and the trial's number."""

from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from search_spaces.schema import SearchSpec
from trainables.runtime.randomness import stream_seed


class SeededSampler(BaseSampler):
    """Builds a new sampler for each trial, so that a resumed search suggests what it would have suggested.

    Trials must be asked for one after another.
    """

    def __init__(self, spec: SearchSpec) -> None:
        self._spec = spec
        self._sampler = _build(spec, 0)

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        former, self._sampler = self._sampler, _build(self._spec, trial.number)
        # The search space that all trials share: computing it again costs more with every trial.
        vars(self._sampler).update({key: own for key, own in vars(former).items() if key == "_search_space"})
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, optuna.distributions.BaseDistribution],
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def _build(spec: SearchSpec, number: int) -> BaseSampler:
    seed = stream_seed(spec.sampler.seed, "suggest", number) % 2**32
    # Optuna's default of ten random trials would be most of a small search.
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
