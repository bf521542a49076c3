"""Colours, markers and axes that the figures share; trials are grouped by how they can be compared."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import comparable
from search_spaces.schema import SearchSpec

INK, BLUE, ORANGE, GREEN, GREY = "#000000", "#0072B2", "#D55E00", "#009E73", "#848b94"
"""Colours of the Okabe-Ito palette, distinct for colour-blind readers; black and blue follow the page's theme
(`page.svg`)."""

MARKS: Mapping[str, Mapping[str, Any]] = {
    "full length": {"marker": "o", "color": BLUE, "edgecolors": INK, "linewidths": 0.6, "s": 40},
    "breaks a constraint": {"marker": "s", "color": "none", "edgecolors": GREY, "linewidths": 1.2, "s": 32},
    "stopped early": {"marker": "x", "color": GREY, "linewidths": 1.3, "s": 30},
    "failed": {"marker": "+", "color": GREY, "linewidths": 1.3, "s": 45},
    "running": {"marker": "^", "color": "none", "edgecolors": GREY, "linewidths": 1.2, "s": 36},
}
"""Marker of each group; groups differ in shape too, so colour is never the only difference."""
BEST: Mapping[str, Any] = {"color": ORANGE, "linewidth": 1.8}
MAX_VECTOR_MARKS = 400
"""Figures with more marks embed them as one raster image: thousands of vector outlines make the page too large."""

_SIZE_IN = (7.6, 3.9)


def comparison_groups(spec: SearchSpec, search: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """The trials of each group of MARKS."""
    full = {record.trial for record in comparable(spec, search)}
    states = {"completed": "breaks a constraint", "stopped": "stopped early", "failed": "failed", "running": "running"}
    groups: dict[str, list[TrialRecord]] = {name: [] for name in MARKS}
    for record in search:
        groups["full length" if record.trial in full else states[record.state]].append(record)
    return groups


def one_axes(xlabel: str, ylabel: str, size_in: tuple[float, float] = _SIZE_IN) -> tuple[Figure, Axes]:
    """A figure with one pair of axes and a grid."""
    figure = Figure(figsize=size_in, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def legend(axes: Axes) -> None:
    """Adds a legend if anything has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def scatter(
    axes: Axes,
    groups: Mapping[str, Sequence[TrialRecord]],
    point: Callable[[TrialRecord], tuple[float, float]],
    scale: float = 1.0,
) -> None:
    """Draws each trial with a finite point, with its group's marker; `scale` multiplies the marker's area."""
    crowded = sum(map(len, groups.values())) > MAX_VECTOR_MARKS
    for name, records in groups.items():
        points = [(x, y) for x, y in map(point, records) if math.isfinite(x) and math.isfinite(y)]
        if points:
            style = {**MARKS[name], "s": MARKS[name]["s"] * scale * (0.35 if crowded else 1.0)}
            drawn = axes.scatter([x for x, _ in points], [y for _, y in points], label=name, zorder=2, **style)
            drawn.set_rasterized(crowded)
