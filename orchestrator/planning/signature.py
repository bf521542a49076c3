"""Signatures of trials and searches: equal values have equal signatures, in every process and version.

A trial's signature covers the trial's fields only, not the search's name, resources or number of trials.
"""

import hashlib
import json
from typing import Any

from search_spaces.schema import SearchSpec
from trainables.config.trial import TrialConfig

_LENGTH = 16


def trial_signature(config: TrialConfig) -> str:
    """Returns 16 hexadecimal digits over every field of a trial."""
    return _digest(config.to_dict())


def spec_signature(spec: SearchSpec) -> str:
    """Returns 16 hexadecimal digits over every field of a search, defaults included."""
    return _digest(spec.to_dict())


def _digest(value: dict[str, Any]) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_LENGTH]
