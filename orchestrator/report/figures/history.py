"""Optimisation history: the first objective of each trial, and the best value so far."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.report.figures.marks import BEST, comparison_groups, legend, one_axes, scatter
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import comparable
from search_spaces.schema import SearchSpec


def history_figure(spec: SearchSpec, search: Sequence[TrialRecord]) -> Figure:
    """The first objective of all trials in the order of start, and the best value of the comparable ones so far."""
    objective = spec.objectives[0]
    places = {record.trial: place for place, record in enumerate(search, 1)}
    figure, axes = one_axes(f"trial, of {spec.trials} planned", objective.metric)
    scatter(
        axes,
        comparison_groups(spec, search),
        lambda r: (places[r.trial], r.outcome.get(objective.metric, math.nan)),
    )
    best = best_so_far(spec, search)
    if best:
        at, values = [place for place, _ in best], [value for _, value in best]
        axes.step([*at, len(search)], [*values, values[-1]], where="post", label="best so far", zorder=1, **BEST)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes)
    return figure


def best_so_far(spec: SearchSpec, search: Sequence[TrialRecord]) -> list[tuple[int, float]]:
    """(number of the trial from 1, first objective) of each comparable trial that improved on all earlier ones."""
    objective, places = spec.objectives[0], {record.trial: place for place, record in enumerate(search, 1)}
    sign = 1 if objective.goal == "minimize" else -1
    found: list[tuple[int, float]] = []
    for record in comparable(spec, search):
        value = record.outcome[objective.metric]
        if not found or sign * value < sign * found[-1][1]:
            found.append((places[record.trial], value))
    return found
