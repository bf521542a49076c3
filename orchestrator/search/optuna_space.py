"""Converts the spec's distributions to Optuna's, and values in both directions.

β = 10^-p is searched over the exponent p, so that samplers see its order.
"""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces.distributions import Choice, Distribution, FloatRange, IntRange, PowerOfTen

_POWER = ".p"


def to_optuna(space: Mapping[str, Distribution]) -> dict[str, BaseDistribution]:
    """Returns one Optuna distribution per dotted key; a power of ten is named `KEY.p` after its exponent."""
    return dict(_convert(key, distribution) for key, distribution in space.items())


def to_params(space: Mapping[str, Distribution], optuna_params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the trial's values by dotted key from Optuna's parameters."""
    params: dict[str, Any] = {}
    for key, distribution in space.items():
        if isinstance(distribution, PowerOfTen):
            params[key] = distribution.value(optuna_params[key + _POWER])
        else:
            params[key] = optuna_params[key]
    return params


def from_params(space: Mapping[str, Distribution], params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a point as Optuna's parameters; missing keys stay free."""
    point: dict[str, Any] = {}
    for key, value in params.items():
        distribution = space[key]
        if isinstance(distribution, PowerOfTen):
            point[key + _POWER] = distribution.exponent(value)
        elif isinstance(distribution, FloatRange):
            point[key] = float(value)
        else:
            point[key] = value
    return point


def _convert(key: str, distribution: Distribution) -> tuple[str, BaseDistribution]:
    if isinstance(distribution, PowerOfTen):
        powers = sorted(distribution.power_of_ten)
        contiguous = powers == list(range(powers[0], powers[-1] + 1))
        return key + _POWER, (
            IntDistribution(powers[0], powers[-1]) if contiguous else CategoricalDistribution(tuple(powers))
        )
    if isinstance(distribution, Choice):
        return key, CategoricalDistribution(tuple(distribution.choice))
    if isinstance(distribution, IntRange):
        return key, IntDistribution(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    return key, FloatDistribution(distribution.low, distribution.high, log=distribution.log)
