"""The definition of a metric for Ray's endpoints, and one reading of it."""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """A metric. A counter starts at 0 with the driver, so that `rate()` takes a resume for a restart."""

    name: str
    kind: Literal["gauge", "counter"]
    description: str
    labels: tuple[str, ...]


class Reading(NamedTuple):
    """One value; for a counter, its total so far."""

    name: str
    value: float
    labels: dict[str, str]
