"""The exact tail of the binomial distribution."""

import math


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """Returns the exact P[X >= successes] of a binomial X, summed in logarithms; stable for any number of trials."""
    if successes <= 0 or probability >= 1:
        return 1.0
    if successes > trials or probability <= 0:
        return 0.0
    hit, miss, all_orders = math.log(probability), math.log1p(-probability), math.lgamma(trials + 1)
    terms = (
        all_orders - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * hit + (trials - k) * miss
        for k in range(successes, trials + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))
