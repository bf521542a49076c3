"""One check's outcome, as `aib plan` and `aib doctor` print it."""

from typing import NamedTuple


class Check(NamedTuple):
    """A check that was made: its name, whether it passed, and what was found or what to do."""

    name: str
    ok: bool
    message: str
