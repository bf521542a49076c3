"""The trade-off between validation error and interpretability, with its Pareto front."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from orchestrator.report.figures.marks import BEST, comparison_groups, legend, one_axes, scatter
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import comparable
from search_spaces.schema import SearchSpec

ERROR, INTERP = "val_error_pct", "interp_centered_pct"
_ON_FRONT: Mapping[str, Any] = {"marker": "D", "markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.6}
"""An empty diamond around the trial's own marker, which stays visible."""


def tradeoff_figure(spec: SearchSpec, search: Sequence[TrialRecord]) -> Figure:
    """Mean-centred interpretability score against validation error, with the Pareto front."""
    figure, axes = one_axes("validation error (%)", "interpretability, mean-centred (%)")
    scatter(axes, comparison_groups(spec, search), _point)
    front = [_point(record) for record in tradeoff_front(spec, search)]
    if front:
        errors, scores = [error for error, _ in front], [score for _, score in front]
        axes.step(errors, scores, where="post", label="Pareto front", zorder=3, **_ON_FRONT, **BEST)
    legend(axes)
    return figure


def tradeoff_front(spec: SearchSpec, search: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The Pareto-optimal comparable trials in error and score, lowest error first.

    Uses these two metrics whatever the objectives of the search are.
    """
    known = [record for record in comparable(spec, search) if not any(map(math.isnan, _point(record)))]
    front: list[TrialRecord] = []
    for record in sorted(known, key=lambda record: (record.outcome[ERROR], -record.outcome[INTERP], record.trial)):
        if not front or record.outcome[INTERP] > front[-1].outcome[INTERP]:
            front.append(record)
    return front


def _point(record: TrialRecord) -> tuple[float, float]:
    return record.outcome.get(ERROR, math.nan), record.outcome.get(INTERP, math.nan)
