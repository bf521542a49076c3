"""The trial's dotted keys that a specification must know: its sections and short forms.

`trainables` defines the fields; a test compares these names with them.
"""

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import abbreviated

TRIAL_SECTIONS = (
    "recipe",
    "epochs",
    "seed",
    "model",
    "dataset",
    "data",
    "attention",
    "bottleneck",
    "optim",
    "evaluation",
    "numerics",
)
SHORT = {"model": "model.name", "dataset": "data.name", "data": "data.name"}


def flat_keys(given: Any, prefix: str = "") -> dict[str, Any]:
    """Turns nested or dotted keys into full dotted keys; ValueError for no mapping, or a field given twice."""
    if not isinstance(given, Mapping):
        raise ValueError(f"is {abbreviated(given)}; allowed: a mapping of the trial's fields")
    flat: dict[str, Any] = {}
    for key, value in given.items():
        if not isinstance(key, str):
            raise ValueError(f"has the key {key!r}; allowed: dotted names such as bottleneck.beta")
        if isinstance(value, Mapping):
            parts = flat_keys(value, f"{prefix}{key}.")
        else:
            parts = {SHORT.get(prefix + key, prefix + key): value}
        for name, part in parts.items():
            if name in flat:
                raise ValueError(f"gives '{name}' twice; keep one of the two")
            flat[name] = part
    return flat


def trial_values(given: Any) -> dict[str, Any]:
    """`flat_keys`; ValueError unless every value is a scalar or a list of scalars."""
    flat = flat_keys(given)
    for key, value in flat.items():
        items = value if isinstance(value, (list, tuple)) else [value]
        if not all(item is None or isinstance(item, (str, int, float, bool)) for item in items):
            raise ValueError(f"'{key}' is {abbreviated(value)}; allowed: a value, or a list of values")
    return flat
