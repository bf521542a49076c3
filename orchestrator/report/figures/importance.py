"""Importance of each parameter for the first objective: functional ANOVA over the full-length trials.

Early-stopped trials are left out: their objective is worse because they ran for fewer epochs.
"""

import math
from collections.abc import Sequence

import optuna
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution
from optuna.importance import FanovaImportanceEvaluator

from orchestrator.report.figures.marks import BLUE, INK, one_axes
from orchestrator.report.parameter_text import short_names
from orchestrator.search.optuna_space import from_params, to_optuna
from orchestrator.study.journal import TrialRecord
from search_spaces.schema import SearchSpec

MIN_TRIALS = 8
_MAX_TRIALS = 400
_NUM_TREES = 32


def importances(spec: SearchSpec, search: Sequence[TrialRecord]) -> dict[str, float]:
    """Dotted key -> share of the objective's variance, largest first. The same trials give the same shares.

    Empty if fewer than MIN_TRIALS trials completed, no parameter varies, or all objectives are equal.
    """
    metric, distributions = spec.objectives[0].metric, to_optuna(spec.space)
    varied = {name: d for name, d in distributions.items() if not d.single()}
    rows = []
    for record in search:
        value = record.outcome.get(metric, math.nan) if record.state == "completed" else math.nan
        if math.isfinite(value):
            rows.append((from_params(spec.space, record.params), value))
    rows = rows[:: math.ceil(len(rows) / _MAX_TRIALS)] if rows else []
    if len(rows) < MIN_TRIALS or not varied or len({value for _, value in rows}) == 1:
        return {}
    found = optuna.importance.get_param_importances(
        _study(rows, varied), evaluator=FanovaImportanceEvaluator(n_trees=_NUM_TREES, seed=0), params=list(varied)
    )
    names = dict(zip(distributions, spec.space, strict=True))
    return {names[name]: share for name, share in sorted(found.items(), key=lambda item: -item[1])}


def importance_figure(shares: dict[str, float]) -> Figure:
    """One bar per parameter, the most important on top, labelled with its share."""
    names = short_names(list(shares))
    figure, axes = one_axes("share of the objective's variance", "", (7.6, 0.9 + 0.42 * len(names)))
    bars = axes.barh(names, list(shares.values()), color=BLUE, edgecolor=INK, linewidth=0.6, height=0.6)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares.values()], padding=4, fontsize=9)
    axes.set_xlim(0, max(shares.values()) * 1.15)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    return figure


def _study(rows: Sequence[tuple[dict[str, object], float]], distributions: dict[str, BaseDistribution]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: params[name] for name in distributions}, distributions=distributions, value=value
            )
            for params, value in rows
        ]
    )
    return study
