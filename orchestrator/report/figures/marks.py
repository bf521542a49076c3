"""How trials look in every figure of a search: by how they may be compared, told by shape as well as by colour."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import comparable
from search_spaces.schema import SearchSpec

INK, BLUE, ORANGE, GREEN, GREY = "#000000", "#0072B2", "#D55E00", "#009E73", "#848b94"
"""Of Okabe and Ito, told apart by the colour-blind; black and blue change with the reader's theme (`svg`)."""

LOOKS: Mapping[str, Mapping[str, Any]] = {
    "full length": {"marker": "o", "color": BLUE, "edgecolors": INK, "linewidths": 0.6, "s": 40},
    "breaks a constraint": {"marker": "s", "color": "none", "edgecolors": GREY, "linewidths": 1.2, "s": 32},
    "stopped early": {"marker": "x", "color": GREY, "linewidths": 1.3, "s": 30},
    "failed": {"marker": "+", "color": GREY, "linewidths": 1.3, "s": 45},
    "running": {"marker": "^", "color": "none", "edgecolors": GREY, "linewidths": 1.2, "s": 36},
}
BEST: Mapping[str, Any] = {"color": ORANGE, "linewidth": 1.8}
CROWD = 400
"""From so many marks on, a figure embeds them as one picture: outlines of each would weigh a page down."""

_SIZE_IN = (7.6, 3.9)


def standing(spec: SearchSpec, search: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """The trials by how they may be compared, under the names that the pictures' legends use."""
    full = {record.trial for record in comparable(spec, search)}
    states = {"completed": "breaks a constraint", "stopped": "stopped early", "failed": "failed", "running": "running"}
    groups: dict[str, list[TrialRecord]] = {name: [] for name in LOOKS}
    for record in search:
        groups["full length" if record.trial in full else states[record.state]].append(record)
    return groups


def one_axes(xlabel: str, ylabel: str, size_in: tuple[float, float] = _SIZE_IN) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size_in, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def scatter(
    axes: Axes,
    groups: Mapping[str, Sequence[TrialRecord]],
    point: Callable[[TrialRecord], tuple[float, float]],
    scale: float = 1.0,
) -> None:
    """Every trial whose point is finite, with the looks of its group; `scale` shrinks the marks' areas."""
    crowded = sum(map(len, groups.values())) > CROWD
    for name, records in groups.items():
        points = [(x, y) for x, y in map(point, records) if math.isfinite(x) and math.isfinite(y)]
        if points:
            look = {**LOOKS[name], "s": LOOKS[name]["s"] * scale * (0.35 if crowded else 1.0)}
            drawn = axes.scatter([x for x, _ in points], [y for _, y in points], label=name, zorder=2, **look)
            drawn.set_rasterized(crowded)
