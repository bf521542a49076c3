"""Resolves a search's spec into trials, and checks what needs the trial's own fields."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from search_spaces.distributions import Distribution, FloatRange, IntRange
from search_spaces.schema import SearchSpec
from trainables.config.trial import FIELD_TYPES, TrialConfig, unknown_key_message
from trainables.errors import ConfigError
from trainables.metrics import INTERP_SUMMARY, ON_TEST, SEARCHABLE, searchable, without_map
from trainables.models.traits import MODELS, TRAITS, traits

INTERP_EVERY = "evaluation.interp_every_epochs"
OCCLUDERS = "evaluation.occluder_dataset"
_SAME_IMAGES = (
    "data.name",
    "data.image_size",
    "data.stored_size",
    "data.split_seed",
    "data.val_images",
    "data.test_images",
    "evaluation.interp_images",
    "evaluation.interp_epoch_images",
    OCCLUDERS,
)
_FIXED = {"epochs": "at their last epoch", **dict.fromkeys(_SAME_IMAGES, "on the same images")}
"""Fields that a search must not vary, each with how trials are compared."""


def resolve_trial(spec: SearchSpec, params: Mapping[str, Any]) -> TrialConfig:
    """Returns the trial of one suggestion: its values override the spec's trial section, which overrides the recipe.

    A search that steers by an interpretability score needs the score after every epoch, so `interp_every_epochs` 0
    becomes 1.
    """
    config = TrialConfig.from_dict({**spec.trial, **params})
    if interp_metrics(spec) and config.evaluation.interp_every_epochs == 0:
        return config.override({INTERP_EVERY: 1})
    return config


def steering_metrics(spec: SearchSpec) -> dict[str, str]:
    """Returns every metric that decides something in the search, with the first field that names it."""
    named = [(f"objectives[{place}].metric", objective.metric) for place, objective in enumerate(spec.objectives)]
    named += [(f"constraints[{place}].metric", rule.metric) for place, rule in enumerate(spec.constraints)]
    if spec.scheduler.name != "none":
        named.append(("scheduler.metric", spec.scheduler.metric))
    found: dict[str, str] = {}
    for field, metric in named:
        found.setdefault(metric, field)
    return found


def interp_metrics(spec: SearchSpec) -> list[str]:
    """Returns the interpretability scores among the steering metrics."""
    return [metric for metric in steering_metrics(spec) if without_map(metric) in INTERP_SUMMARY]


def models_in_play(spec: SearchSpec) -> list[str]:
    """Returns every `model.name` that a trial of the search may have."""
    varied = spec.space.get("model.name")
    if varied is None:
        return [resolve_trial(spec, {}).model.name]
    return list(dict.fromkeys(map(str, varied.grid() or ())))


def any_maps(spec: SearchSpec) -> bool:
    """Returns whether a trial may have attention maps; their score needs occluding images."""
    return any(traits(model).maps for model in models_in_play(spec))


def check_trials(spec: SearchSpec, resumed: bool = False) -> TrialConfig:
    """Returns the trial section as a trial, after checking that every value in the space makes a valid trial.

    A study that is `resumed` may search by a metric of the test images, which earlier versions allowed. Raises
    ConfigError, which names the field of the spec.
    """
    base = _resolved(spec, {}, "trial")
    for key in spec.space:
        if key not in FIELD_TYPES:
            raise ConfigError(f"space: {unknown_key_message('trial field', key, FIELD_TYPES)}")
        if key in _FIXED:
            raise ConfigError(f"space: '{key}' cannot vary, since trials are compared {_FIXED[key]}; fix it in trial.")
        probed_trials(spec, key)
    for place, point in enumerate(spec.first):
        _resolved(spec, point, f"first[{place}]")
    for metric, field in steering_metrics(spec).items():
        if metric in ON_TEST and not resumed:
            raise ConfigError(
                f"{field} is '{metric}': a search must not select by its test images, or their error is no longer that "
                f"on new images; use {metric.replace('test_', 'val_', 1)}. Reports show the test error beside it."
            )
        _check_reported(metric, field, models_in_play(spec))
    rule = spec.scheduler
    if rule.name == "asha" and rule.grace_epochs > base.epochs:
        raise ConfigError(
            f"scheduler.grace_epochs is {rule.grace_epochs}; allowed: at most the trial's epochs ({base.epochs})."
        )
    _, most = spec.finalists.worker_range or (1, 1)
    for field, workers in (("resources", spec.resources.workers_per_trial), ("finalists", most)):
        if workers > base.optim.batch_size:
            raise ConfigError(
                f"{field}.workers_per_trial is {workers}; allowed: at most the global batch "
                f"(optim.batch_size {base.optim.batch_size})."
            )
    return base


def probed_trials(spec: SearchSpec, key: str) -> list[TrialConfig]:
    """Returns trials that represent every value of one field of the space; all else is as in the trial section.

    Raises ConfigError, which names the field, where one of its values makes no valid trial.
    """
    return [_resolved(spec, {key: value}, f"space '{key}'") for value in _probes(spec.space[key])]


def _check_reported(metric: str, field: str, models: list[str]) -> None:
    """Raises ConfigError for a metric that no model, or not each of these models, reports after every epoch."""
    by_some = {name for model in MODELS for name in searchable(TRAITS[model])}
    if metric not in by_some:
        allowed = [name for name in SEARCHABLE if name not in ON_TEST]
        near = difflib.get_close_matches(metric, allowed, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"allowed: {', '.join(allowed)}."
        raise ConfigError(f"{field} is '{metric}', which is not known after every epoch; {hint}")
    for model in models:
        own = searchable(traits(model))
        if metric not in own:
            allowed = [name for name in own if name not in ON_TEST]
            raise ConfigError(
                f"{field} is '{metric}', which {model} never reports; allowed for it: {', '.join(allowed)}."
            )


def _resolved(spec: SearchSpec, params: Mapping[str, Any], where: str) -> TrialConfig:
    try:
        return resolve_trial(spec, params)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _probes(distribution: Distribution) -> Iterator[Any]:
    """Yields values that represent a distribution: each listed value; of a range both ends and a value between."""
    match distribution:
        case FloatRange():
            # Not the middle: a field of whole numbers accepts 1.0, 2.0 and 3.0.
            yield from (
                distribution.low,
                distribution.high,
                distribution.low + (distribution.high - distribution.low) / 3.7,
            )
        case IntRange():
            yield from (distribution.low, distribution.high)
        case _:
            yield from distribution.grid()
