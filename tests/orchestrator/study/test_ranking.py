"""Which trials can win: of full length, feasible, and not dominated."""

import math
from typing import Any

import pytest

from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import best_trials, pareto_front, violations
from search_spaces.schema import SearchSpec


def spec(**changes: Any) -> SearchSpec:
    base = {
        "name": "s",
        "trial": {"model": "vgg-aib"},
        "space": {"bottleneck.beta": {"choice": [0.1, 0.01]}},
        "trials": 10,
        "objectives": [
            {"metric": "val_error_pct", "goal": "minimize"},
            {"metric": "interp_centered_pct", "goal": "maximize"},
        ],
        "constraints": [{"metric": "val_attention_std", "at_least": 0.02}],
    }
    return SearchSpec.from_dict({**base, **changes})


def record(name: str, error: float, interp: float, std: float = 0.1, state: str = "completed") -> TrialRecord:
    row = {
        "epoch": 1.0,
        "val_error_pct": error,
        "val_nll": 1.0,
        "interp_centered_pct": interp,
        "val_attention_std": std,
    }
    return TrialRecord(name, "search", {}, 0, state=state, history=[row])  # type: ignore[arg-type]


def names(records: list[TrialRecord]) -> list[str]:
    return [r.trial for r in records]


def test_front_holds_what_nothing_beats_in_both() -> None:
    records = [record("a", 10, 20), record("b", 20, 40), record("c", 25, 30), record("d", 9, 10), record("e", 10, 20)]
    assert names(pareto_front(spec(), records)) == ["d", "a", "e", "b"]


@pytest.mark.parametrize(
    "unfit",
    [
        record("x", 0.0, 100.0, std=0.001),
        record("x", 0.0, 100.0, state="stopped"),
        record("x", 0.0, 100.0, state="failed"),
        record("x", 0.0, 100.0, state="running"),
        record("x", 0.0, math.nan),
    ],
    ids=["dead map", "stopped early", "failed", "running", "objective unknown"],
)
def test_unfit_trial_never_wins(unfit: TrialRecord) -> None:
    assert names(best_trials(spec(), [unfit, record("a", 50, 1)])) == ["a"]


def test_best_trials_orders_front_after_front() -> None:
    records = [record("a", 10, 20), record("b", 20, 40), record("c", 25, 30), record("d", 26, 29)]
    assert names(best_trials(spec(), records)) == ["a", "b", "c", "d"]


def test_violations_are_signed_and_unknown_metrics_violate() -> None:
    constraints = [{"metric": "val_attention_std", "at_least": 0.02}, {"metric": "val_error_pct", "at_most": 50.0}]
    found = violations(spec(constraints=constraints), {"val_error_pct": 60.0})
    assert found == {"val_attention_std at least 0.02": math.inf, "val_error_pct at most 50": 10.0}
    (excess,) = violations(spec(), {"val_attention_std": 0.05}).values()
    assert excess == pytest.approx(-0.03)


BAND = [{"metric": "val_attention_std", "at_least": 0.02}, {"metric": "val_attention_std", "at_most": 0.3}]


@pytest.mark.parametrize("rules", [BAND, BAND[::-1]], ids=["lower bound first", "upper bound first"])
def test_both_bounds_of_a_band_are_kept(rules: list[dict[str, Any]]) -> None:
    records = [record("dead", 0.0, 100.0, std=0.0001), record("noise", 0.0, 100.0, std=0.4), record("a", 50, 1)]
    banded = spec(constraints=rules)
    assert names(best_trials(banded, records)) == names(pareto_front(banded, records)) == ["a"]
