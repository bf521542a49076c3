"""The tail of the binomial distribution, against exact fractions."""

from fractions import Fraction
from math import comb

import pytest

from orchestrator.registry.binomial import binomial_tail


@pytest.mark.parametrize(("trials", "probability"), [(1, 0.5), (7, 0.1), (60, 0.125), (120, 0.95)])
def test_it_equals_the_exact_sum(trials: int, probability: float) -> None:
    hit = Fraction(probability)
    for successes in range(-1, trials + 2, max(1, trials // 5)):
        exact = sum(comb(trials, k) * hit**k * (1 - hit) ** (trials - k) for k in range(max(0, successes), trials + 1))
        assert binomial_tail(successes, trials, probability) == pytest.approx(float(exact), rel=1e-9)


def test_it_takes_large_samples_and_certain_events() -> None:
    assert binomial_tail(2600, 26_000, 0.1) == pytest.approx(0.504, abs=0.005)
    assert binomial_tail(50, 50, 1.0) == 1.0
    assert binomial_tail(1, 50, 0.0) == 0.0
