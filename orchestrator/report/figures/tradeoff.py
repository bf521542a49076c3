"""The pictures of a search: what it found over time, and error against interpretability.

Full-length trials that meet every constraint are filled circles; others have another shape and are grey, so that
nothing is told by colour alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.report.figures.looks import BEST, legend, one_axes, scatter, standing
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import comparable
from search_spaces.schema import SearchSpec

ERROR, INTERP = "val_error_pct", "interp_centered_pct"
_ON_FRONT: Mapping[str, Any] = {"marker": "D", "markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.6}
"""A ring around the trial's own mark, which stays to be seen."""


def history_figure(spec: SearchSpec, search: Sequence[TrialRecord]) -> Figure:
    """The first objective of every trial in the order of their start, and the best of the comparable ones so far."""
    objective = spec.objectives[0]
    places = {record.trial: place for place, record in enumerate(search, 1)}
    figure, axes = one_axes(f"trial, of {spec.trials} planned", objective.metric)
    scatter(axes, standing(spec, search), lambda r: (places[r.trial], r.outcome.get(objective.metric, math.nan)))
    best = best_so_far(spec, search)
    if best:
        at, values = [place for place, _ in best], [value for _, value in best]
        axes.step([*at, len(search)], [*values, values[-1]], where="post", label="best so far", zorder=1, **BEST)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes)
    return figure


def tradeoff_figure(spec: SearchSpec, search: Sequence[TrialRecord]) -> Figure:
    """Validation error against the mean-centred interpretability score, with the front that no trial beats in both."""
    figure, axes = one_axes("validation error (%)", "interpretability, mean-centred (%)")
    scatter(axes, standing(spec, search), _tradeoff)
    front = [_tradeoff(record) for record in tradeoff_front(spec, search)]
    if front:
        errors, scores = [error for error, _ in front], [score for _, score in front]
        axes.step(errors, scores, where="post", label="Pareto front", zorder=3, **_ON_FRONT, **BEST)
    legend(axes)
    return figure


def best_so_far(spec: SearchSpec, search: Sequence[TrialRecord]) -> list[tuple[int, float]]:
    """(place of the trial from 1, first objective) wherever a comparable trial was better than all before it."""
    objective, places = spec.objectives[0], {record.trial: place for place, record in enumerate(search, 1)}
    sign = 1 if objective.goal == "minimize" else -1
    found: list[tuple[int, float]] = []
    for record in comparable(spec, search):
        value = record.outcome[objective.metric]
        if not found or sign * value < sign * found[-1][1]:
            found.append((places[record.trial], value))
    return found


def tradeoff_front(spec: SearchSpec, search: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Of the comparable trials those that no other beats in one of error and score without losing in the other,
    lowest error first; whatever the search's own objectives were."""
    known = [record for record in comparable(spec, search) if not any(map(math.isnan, _tradeoff(record)))]
    front: list[TrialRecord] = []
    for record in sorted(known, key=lambda record: (record.outcome[ERROR], -record.outcome[INTERP], record.trial)):
        if not front or record.outcome[INTERP] > front[-1].outcome[INTERP]:
            front.append(record)
    return front


def _tradeoff(record: TrialRecord) -> tuple[float, float]:
    return record.outcome.get(ERROR, math.nan), record.outcome.get(INTERP, math.nan)
