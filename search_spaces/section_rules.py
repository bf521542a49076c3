"""Checks the sections of a specification against each other, and reports all problems at once."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from search_spaces.distributions import Choice, Distribution
from search_spaces.errors import BrokenRulesError, Problem
from search_spaces.fields import SpecFields


def grid_size(space: Mapping[str, Distribution]) -> int | None:
    """Number of points in the whole grid; None where a distribution has infinitely many values."""
    sizes = [distribution.size for distribution in space.values()]
    return None if any(size is None for size in sizes) else prod(size for size in sizes if size is not None)


def check_rules(spec: SpecFields) -> None:
    """Raises BrokenRulesError with every problem found."""
    problems = [*_space(spec), *_first(spec), *_objectives(spec), *_sampler(spec), *_scheduler(spec)]
    if problems:
        raise BrokenRulesError(problems)


def _space(spec: SpecFields) -> Iterator[Problem]:
    for key in spec.space:
        if key in spec.trial:
            yield ("space", key), "is fixed under trial as well; keep one of the two"
    if not spec.space and spec.trials > 1:
        yield ("trials",), f"is {spec.trials}, but the space is empty, so that all trials would be equal; set trials: 1"


def _first(spec: SpecFields) -> Iterator[Problem]:
    seen: list[dict[str, Any]] = []
    for place, point in enumerate(spec.first):
        for key, value in point.items():
            distribution = spec.space.get(key)
            if distribution is None:
                yield ("first", place), f"'{key}' is not in the space; allowed: {', '.join(spec.space) or 'nothing'}"
            elif not distribution.contains(value):
                yield ("first", place), f"'{key}' is {value!r}; allowed by the space: {distribution.describe()}"
        if point in seen:
            yield ("first", place), f"is the same point as first[{seen.index(point)}]; keep one of the two"
        seen.append(point)
    if len(spec.first) > spec.trials:
        yield (
            ("first",),
            f"has {len(spec.first)} points, but there are {spec.trials} trials; raise trials or drop points",
        )


def _objectives(spec: SpecFields) -> Iterator[Problem]:
    metrics = [objective.metric for objective in spec.objectives]
    for place, metric in enumerate(metrics):
        if metric in metrics[:place]:
            yield ("objectives", place), f"names '{metric}' a second time; keep one of the two"
    bounds = [(rule.metric, rule.at_least is None) for rule in spec.constraints]
    for place, bound in enumerate(bounds):
        if bound in bounds[:place]:
            side = "upper" if bound[1] else "lower"
            yield ("constraints", place), f"gives '{bound[0]}' a second {side} bound; keep one of the two"


def _sampler(spec: SpecFields) -> Iterator[Problem]:
    if spec.sampler.name == "cmaes":
        if len(spec.objectives) > 1:
            yield ("sampler", "name"), "is cmaes, which takes one objective; use tpe, gp or nsga2 for several"
        for key, distribution in spec.space.items():
            if isinstance(distribution, Choice) and not all(_numeric(value) for value in distribution.choice):
                yield ("space", key), "is a choice of words, and cmaes varies numbers only; use tpe, gp or nsga2"
    if spec.sampler.name != "grid":
        return
    for key, distribution in spec.space.items():
        if distribution.size is None:
            yield ("space", key), "has infinitely many values, so it has no grid; list values with choice"
    size = grid_size(spec.space)
    if size is not None and spec.trials > size:
        yield (
            ("trials",),
            f"is {spec.trials}, but the grid has {size} points; lower it, or leave it out for all of them",
        )
    for place, point in enumerate(spec.first):
        if missing := [key for key in spec.space if key not in point]:
            yield ("first", place), f"leaves out '{missing[0]}'; under the grid sampler a first point gives every key"


def _scheduler(spec: SpecFields) -> Iterator[Problem]:
    rule = spec.scheduler
    if rule.name == "asha" and "goal" not in rule.model_fields_set:
        yield ("scheduler", "goal"), f"is missing; '{rule.metric}' is no objective: say minimize or maximize"
    for objective in spec.objectives:
        if rule.name == "asha" and objective.metric == rule.metric and objective.goal != rule.goal:
            yield ("scheduler", "goal"), f"is {rule.goal}, but the objective '{rule.metric}' says {objective.goal}"


def _numeric(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
