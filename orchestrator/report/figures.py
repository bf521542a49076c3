"""The pictures of a search: what it found over time, and error against interpretability.

Full-length trials that meet every constraint are filled circles; others have another shape and are grey, so that
nothing is told by colour alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.journal import TrialRecord
from orchestrator.ranking import comparable
from search_spaces.schema import SearchSpec

ERROR, INTERP = "val_error_pct", "interp_centered_pct"

_GREY = "#848b94"
_LOOKS: Mapping[str, Mapping[str, Any]] = {
    "full length": {"marker": "o", "color": "#0072B2", "edgecolors": "#000000", "linewidths": 0.6, "s": 40},
    "breaks a constraint": {"marker": "s", "color": "none", "edgecolors": _GREY, "linewidths": 1.2, "s": 32},
    "stopped early": {"marker": "x", "color": _GREY, "linewidths": 1.3, "s": 30},
    "failed": {"marker": "+", "color": _GREY, "linewidths": 1.3, "s": 45},
    "running": {"marker": "^", "color": "none", "edgecolors": _GREY, "linewidths": 1.2, "s": 36},
}
_BEST: Mapping[str, Any] = {"color": "#D55E00", "linewidth": 1.8}
_SIZE_IN = (7.6, 3.9)


def history_figure(spec: SearchSpec, search: Sequence[TrialRecord]) -> Figure:
    """The first objective of every trial in the order of their start, and the best of the comparable ones so far."""
    objective = spec.objectives[0]
    places = {record.trial: place for place, record in enumerate(search, 1)}
    figure, axes = _axes(f"trial, of {spec.trials} planned", objective.metric)
    _scatter(axes, spec, search, lambda r: (places[r.trial], r.outcome.get(objective.metric, math.nan)))
    best = best_so_far(spec, search)
    if best:
        at, values = [place for place, _ in best], [value for _, value in best]
        axes.step([*at, len(search)], [*values, values[-1]], where="post", label="best so far", zorder=1, **_BEST)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return figure


def tradeoff_figure(spec: SearchSpec, search: Sequence[TrialRecord]) -> Figure:
    """Validation error against the mean-centred interpretability score, with the front that no trial beats in both."""
    figure, axes = _axes("validation error (%)", "interpretability, mean-centred (%)")
    _scatter(axes, spec, search, _tradeoff)
    front = [_tradeoff(record) for record in tradeoff_front(spec, search)]
    if front:
        errors, scores = [error for error, _ in front], [score for _, score in front]
        axes.step(errors, scores, where="post", label="Pareto front", marker="D", markersize=4, zorder=1, **_BEST)
    _legend(axes)
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


def standing(spec: SearchSpec, search: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """The trials by how they may be compared, under the names that the pictures' legends use."""
    full = {record.trial for record in comparable(spec, search)}
    states = {"completed": "breaks a constraint", "stopped": "stopped early", "failed": "failed", "running": "running"}
    groups: dict[str, list[TrialRecord]] = {name: [] for name in _LOOKS}
    for record in search:
        groups["full length" if record.trial in full else states[record.state]].append(record)
    return groups


def _tradeoff(record: TrialRecord) -> tuple[float, float]:
    return record.outcome.get(ERROR, math.nan), record.outcome.get(INTERP, math.nan)


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _scatter(
    axes: Axes,
    spec: SearchSpec,
    search: Sequence[TrialRecord],
    point: Callable[[TrialRecord], tuple[float, float]],
) -> None:
    for name, records in standing(spec, search).items():
        points = [(x, y) for x, y in map(point, records) if math.isfinite(x) and math.isfinite(y)]
        if points:
            axes.scatter([x for x, _ in points], [y for _, y in points], label=name, zorder=2, **_LOOKS[name])
