"""Signatures of trials and searches: equal values have equal signatures, in every process and version.

A trial's signature covers the trial's fields only, not the search's name, resources or number of trials.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from search_spaces.schema import SearchSpec
from trainables.config.trial import TrialConfig

_LENGTH = 16
_UNSIGNED = {"gate": ("max_chance",), "resources": ("priority", "share")}
"""Fields by section that later versions added and that change no trial: studies of before them resume, and a resume may
change how its study shares the cluster."""


def trial_signature(config: TrialConfig) -> str:
    """Returns 16 hexadecimal digits over every field of a trial."""
    return _digest(config.to_dict())


def spec_signature(spec: SearchSpec) -> str:
    """Returns 16 hexadecimal digits over the fields of a search, defaults included, but for `_UNSIGNED`."""
    return _digest(signed_fields(spec.to_dict()))


def signed_fields(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a search (`SearchSpec.to_dict`) that its signature covers."""
    signed = dict(spec)
    for section, fields in _UNSIGNED.items():
        signed[section] = {name: value for name, value in spec.get(section, {}).items() if name not in fields}
    return signed


def _digest(value: dict[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_LENGTH]
