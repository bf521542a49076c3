"""The objective over the parameter space: parallel coordinates, slices and a contour plot.

The colour map (cividis) changes in lightness too, so the figures are readable in greyscale.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.report.figures.marks import GREY, INK, MAX_VECTOR_MARKS, comparison_groups, scatter
from orchestrator.report.parameter_text import short_names, value_text
from orchestrator.study.journal import TrialRecord
from search_spaces.distributions import Choice, Distribution, FloatRange, IntRange, PowerOfTen
from search_spaces.schema import SearchSpec

MAX_AXES = 8
_COLORS = LinearSegmentedColormap.from_list("both", matplotlib.colormaps["cividis"](np.linspace(0.15, 0.92, 64)))
"""The colour map without its ends, which would be invisible on a dark or a light page."""
_MAX_TICKS = 6
_MIN_CONTOUR = 8
_LABEL_BOX = {"facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
"""Background of a label that lines cross, in the page's colour."""


def parallel_figure(spec: SearchSpec, search: Sequence[TrialRecord], keys: Sequence[str]) -> Figure:
    """One line per trial across the axes of `keys` and, last, the first objective.

    Full-length feasible trials are coloured; the others are thin and grey.
    """
    metric, groups = spec.objectives[0].metric, comparison_groups(spec, search)
    full = _known(groups["full length"], metric)
    other = [r for name, records in groups.items() if name != "full length" for r in _known(records, metric)]
    other = other[:: math.ceil(len(other) / MAX_VECTOR_MARKS)] if other else []
    values = [record.outcome[metric] for record in full]
    # Without comparable trials, the last axis shows the range of the grey ones.
    scale = values or [record.outcome[metric] for record in other]
    low, high = (min(scale), max(scale)) if scale else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1)
    figure = Figure(figsize=(max(5.0, 1.45 * (len(keys) + 1)), 3.9), layout="constrained")
    axes = figure.add_subplot()

    def lines(records: Sequence[TrialRecord]) -> list[list[tuple[float, float]]]:
        return [
            [
                *((place, _position(spec.space[key], record.params[key])) for place, key in enumerate(keys)),
                (len(keys), min(1.08, max(-0.08, float(norm(record.outcome[metric]))))),
            ]
            for record in records
        ]

    crowded = len(full) + len(other) > MAX_VECTOR_MARKS
    axes.add_collection(LineCollection(lines(other), colors=GREY, linewidths=0.6, alpha=0.45, rasterized=crowded))
    # A grey edge keeps every colour visible on a light and on a dark page.
    axes.add_collection(LineCollection(lines(full), colors=GREY, linewidths=2.8, alpha=0.7, rasterized=crowded))
    drawn = LineCollection(lines(full), cmap=_COLORS, norm=norm, linewidths=1.5, alpha=0.9, rasterized=crowded)
    drawn.set_array(np.asarray(values))
    axes.add_collection(drawn)
    axes.set(xlim=(-0.15, len(keys) + 0.15), ylim=(-0.1, 1.1), yticks=[])
    axes.set_xticks(range(len(keys) + 1), [*short_names(keys), metric])
    for place, key in enumerate(keys):
        axes.axvline(place, color=GREY, linewidth=0.8, zorder=0)
        for text, height in _ticks(spec.space[key]):
            axes.annotate(
                text, (place, height), (4, 0), textcoords="offset points", fontsize=7, va="center", bbox=_LABEL_BOX
            )
    axes.axvline(len(keys), color=GREY, linewidth=0.8, zorder=0)
    for value in (low, high):
        axes.annotate(
            f"{value:.4g}",
            (len(keys), float(norm(value))),
            (4, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            bbox=_LABEL_BOX,
        )
    axes.spines[:].set_visible(False)
    if full:
        figure.colorbar(ScalarMappable(norm, _COLORS), ax=axes, label=metric)
    return figure


def slices_figure(spec: SearchSpec, search: Sequence[TrialRecord], keys: Sequence[str]) -> Figure:
    """One panel per parameter: the first objective against this parameter."""
    metric, groups = spec.objectives[0].metric, comparison_groups(spec, search)
    columns = min(4, len(keys))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(max(4.0, 2.9 * columns), 2.7 * rows + 0.4), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
    for cell, key, name in zip(cells, keys, short_names(keys), strict=False):
        scatter(
            cell,
            groups,
            lambda r, key=key: (_position(spec.space[key], r.params[key]), r.outcome.get(metric, math.nan)),  # type: ignore[misc]
            scale=0.6,
        )
        _set_ticks(cell.xaxis, spec.space[key])
        cell.set(xlabel=name, xlim=(-0.08, 1.08))
        cell.grid(visible=True, alpha=0.3)
    for cell in cells[len(keys) :]:
        cell.set_visible(False)
    cells[0].set_ylabel(metric)
    figure.legend(*cells[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return figure


def contour_figure(spec: SearchSpec, search: Sequence[TrialRecord], keys: tuple[str, str]) -> Figure | None:
    """The first objective over two parameters, interpolated between full-length feasible trials.

    None if there are too few such trials or all lie on a line.
    """
    metric = spec.objectives[0].metric
    full = _known(comparison_groups(spec, search)["full length"], metric)
    points: dict[tuple[float, float], list[float]] = {}
    for record in full:
        at = (
            _position(spec.space[keys[0]], record.params[keys[0]]),
            _position(spec.space[keys[1]], record.params[keys[1]]),
        )
        points.setdefault(at, []).append(record.outcome[metric])
    xy: NDArray[np.float64] = np.array(list(points)).reshape(-1, 2)
    if len(points) < _MIN_CONTOUR or np.linalg.matrix_rank(xy - xy.mean(0), tol=1e-6) < 2:
        return None
    values = [sum(found) / len(found) for found in points.values()]
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    filled = axes.tricontourf(xy[:, 0], xy[:, 1], values, levels=10, cmap=_COLORS)
    axes.scatter(
        xy[:, 0], xy[:, 1], s=14, color="#ffffff", edgecolors=INK, linewidths=0.7, rasterized=len(xy) > MAX_VECTOR_MARKS
    )
    for axis, key in ((axes.xaxis, keys[0]), (axes.yaxis, keys[1])):
        _set_ticks(axis, spec.space[key])
    names = short_names(keys)
    axes.set(xlabel=names[0], ylabel=names[1])
    figure.colorbar(filled, ax=axes, label=metric)
    return figure


def is_ordered(varied: Distribution) -> bool:
    """Whether the values have an order, so that a value between two others is meaningful."""
    if not isinstance(varied, Choice):
        return True
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in varied.choice)


def in_space(spec: SearchSpec, record: TrialRecord) -> bool:
    """Whether all of the trial's values lie in the search space; values of a hand-picked trial may lie outside."""
    return all(key in record.params and varied.contains(record.params[key]) for key, varied in spec.space.items())


def _known(records: Sequence[TrialRecord], metric: str) -> list[TrialRecord]:
    return [record for record in records if math.isfinite(record.outcome.get(metric, math.nan))]


def _position(varied: Distribution, value: Any) -> float:
    """Position on the axis, 0 to 1: by rank among listed values, linear or logarithmic in a range."""
    if isinstance(varied, (Choice, PowerOfTen)):
        values = _sorted_values(varied)
        place = next(i for i, item in enumerate(values) if varied.canonical(value) == item)
        return place / max(1, len(values) - 1)
    low, high, at = float(varied.low), float(varied.high), float(value)
    if varied.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low) if high > low else 0.5


def _sorted_values(varied: Choice | PowerOfTen) -> list[Any]:
    values = list(varied.grid())
    return sorted(values) if is_ordered(varied) else values


def _ticks(varied: Distribution) -> list[tuple[str, float]]:
    """Labels of an axis with their positions."""
    if isinstance(varied, (Choice, PowerOfTen)):
        values: Sequence[Any] = _sorted_values(varied)
        step = math.ceil(len(values) / 12)
        return [(value_text(value), _position(varied, value)) for value in values[::step]]
    steps = np.linspace(0, 1, _MAX_TICKS - 2)
    return [(_value_at(varied, share), float(share)) for share in steps]


def _value_at(varied: IntRange | FloatRange, share: float) -> str:
    low, high = float(varied.low), float(varied.high)
    value = low * (high / low) ** share if varied.log else low + share * (high - low)
    return f"{value:.0f}" if isinstance(varied, IntRange) else f"{value:.2g}"


def _set_ticks(axis: Any, varied: Distribution) -> None:
    ticks: Mapping[str, float] = dict(_ticks(varied))
    long_labels = any(len(text) > 6 for text in ticks)
    axis.set_ticks(list(ticks.values()), list(ticks))
    axis.set_tick_params(labelsize=7, labelrotation=35 if long_labels and axis.axis_name == "x" else 0)
