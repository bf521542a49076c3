from typing import Any

import pytest

from orchestrator.report.figures.importance import MIN_TRIALS, importance_figure, importances

KEYS = ["bottleneck.beta", "bottleneck.latent_dim", "attention.lambda_q"]


def test_the_parameter_that_decides_is_the_most_important(varied: Any) -> None:
    search = varied.state.of_kind("search")
    shares = importances(varied.spec, search)
    assert next(iter(shares)) == "attention.lambda_q"
    assert shares["attention.lambda_q"] > 0.7
    assert set(shares) == set(KEYS)
    assert sum(shares.values()) == pytest.approx(1)
    assert importances(varied.spec, search) == shares
    assert len(importance_figure(shares).axes[0].patches) == 3


def test_too_few_or_equal_trials_have_no_importance(varied: Any, new_study: Any) -> None:
    search = varied.state.of_kind("search")
    assert importances(varied.spec, search[: MIN_TRIALS - 1]) == {}
    equal = new_study()
    for place in range(10):
        equal.trial(f"t{place:05d}", 30.0)
    assert importances(equal.spec, equal.state.of_kind("search")) == {}
