"""Names of checkpoint folders: made and parsed here, for every store.

    epoch_000007                        the state after epoch 7
    epoch_000007_step_000120            the state after 120 steps of epoch 8
    epoch_000007.002                    its second attempt, in a trial's folder
    epoch_000007.2-5f3a9c1e8b7d6042     its second attempt, in an object store: every upload has a name of its own

Numbers have leading zeros up to the width above, and as many digits as they need beyond it.
"""

import re
import uuid
from typing import NamedTuple

PREFIX = "epoch_"
_STATE = PREFIX + r"(\d{6,})(?:_step_(\d{6,}))?"
_ATTEMPT = re.compile(_STATE + r"(?:\.(\d{3,}))?")
_UPLOAD = re.compile(_STATE + r"\.(\d+)-[0-9a-f]{16}")


class Age(NamedTuple):
    """The state that a checkpoint holds; the greater, the newer."""

    epoch: int
    step: int
    """Steps taken in the epoch after `epoch`; 0: the state between two epochs."""
    attempt: int
    """Counts the times that the same state was saved, from 1."""


def state_name(epoch: int, step: int = 0) -> str:
    """Name of the state after `step` steps of the epoch after `epoch`."""
    return f"{PREFIX}{epoch:06d}" + (f"_step_{step:06d}" if step else "")


def attempt_name(state: str, attempt: int) -> str:
    """Name of a state's first, second, … checkpoint in a trial's folder."""
    return state if attempt == 1 else f"{state}.{attempt:03d}"


def upload_name(state: str, attempt: int) -> str:
    """Name of a state's first, second, … checkpoint in an object store; unique among concurrent uploads."""
    return f"{state}.{attempt}-{uuid.uuid4().hex[:16]}"


def attempt_age(name: str) -> Age | None:
    """Parses the name of a checkpoint in a trial's folder; None for any other name."""
    return _age(_ATTEMPT.fullmatch(name))


def upload_age(name: str) -> Age | None:
    """Parses the name of a checkpoint in an object store; None for any other name."""
    return _age(_UPLOAD.fullmatch(name))


def _age(matched: re.Match[str] | None) -> Age | None:
    return matched and Age(int(matched[1]), int(matched[2] or 0), int(matched[3] or 1))
