"""The shell command that trains one configuration again."""

import json
import shlex
from typing import Any

from trainables.config.recipes import recipe
from trainables.config.trial import TrialConfig

_IDENTITY = {"recipe": "recipe", "model.name": "model", "data.name": "dataset"}


def retrain_command(config: TrialConfig) -> str:
    """`aib train` with a `--set` for each field that differs from the recipe, over several lines."""
    flat = config.to_dict()
    defaults = recipe(config.recipe, config.model.name, config.data.name)
    settings = [(_IDENTITY.get(key, key), flat[key]) for key in _IDENTITY]
    settings += [
        (key, value)
        for key, value in flat.items()
        if key not in _IDENTITY and value != (list(d) if isinstance(d := defaults[key], tuple) else d)
    ]
    return " \\\n  ".join(
        ["aib train", *(f"--set {shlex.quote(f'{key}={_set_value(value)}')}" for key, value in settings)]
    )


def _set_value(value: Any) -> str:
    """The value as `--set` reads it: strings without quotes, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
