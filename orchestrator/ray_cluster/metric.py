"""The form of a metric for Ray's endpoints, and of one reading of it."""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """A metric; a counter counts from the driver's start, so that `rate()` sees a resume as a restart."""

    name: str
    kind: Literal["gauge", "counter"]
    description: str
    labels: tuple[str, ...]


class Reading(NamedTuple):
    """One value; a counter's is its total so far."""

    name: str
    value: float
    labels: dict[str, str]
