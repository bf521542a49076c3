"""Hypervolume of the trade-off between error and interpretability, as it grows over the search."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.report.figures.marks import BLUE, one_axes
from orchestrator.report.figures.tradeoff import ERROR, INTERP
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import comparable
from search_spaces.schema import SearchSpec

WORST_ERROR_PCT, WORST_INTERP_PCT = 100.0, 0.0
"""The reference point: every prediction wrong, and maps that agree no more than by chance."""


def hypervolumes(spec: SearchSpec, search: Sequence[TrialRecord]) -> list[float]:
    """The hypervolume after each trial, in the order of start.

    It is the share of the rectangle between (100 % error, score 0) and (0 % error, score 100) that the comparable
    trials so far dominate. A score below 0 counts as 0.
    """
    known = {record.trial: record.outcome for record in comparable(spec, search)}
    front: list[tuple[float, float]] = []
    found = []
    for record in search:
        outcome = known.get(record.trial, {})
        point = (outcome.get(ERROR, math.nan), outcome.get(INTERP, math.nan))
        if all(map(math.isfinite, point)) and not any(e <= point[0] and s >= point[1] for e, s in front):
            front = sorted([p for p in front if not (point[0] <= p[0] and point[1] >= p[1])] + [point])
        found.append(_volume(front))
    return found


def hypervolume_figure(volumes: Sequence[float]) -> Figure:
    figure, axes = one_axes("trial, in the order of start", "share of error x score covered", (7.6, 3.0))
    axes.step(range(1, len(volumes) + 1), volumes, where="post", color=BLUE, linewidth=1.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, max([*volumes, 0.01]) * 1.08)
    return figure


def _volume(front: Sequence[tuple[float, float]]) -> float:
    """`front` is sorted by error, and so by score too: on a Pareto front both rise together."""
    covered, score_before = 0.0, WORST_INTERP_PCT
    for error, score in front:
        gained = max(score, score_before) - score_before
        covered += gained * (WORST_ERROR_PCT - error)
        score_before += gained
    return covered / 1e4
