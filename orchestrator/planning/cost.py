"""Estimates a search's hours: epochs times the seconds that a trial's workers need for one epoch.

Retraining on another number of workers lies between two bounds: the worker-seconds stay the same (perfect scaling), or
an epoch takes as long as before (no gain).
"""

from collections.abc import Sequence
from typing import NamedTuple


class LowHigh(NamedTuple):
    """Lower and upper bound of an estimate."""

    low: float
    high: float

    def plus(self, other: "LowHigh") -> "LowHigh":
        return LowHigh(self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> "LowHigh":
        return LowHigh(self.low * factor, self.high * factor)


class Part(NamedTuple):
    """A group of trials that run alike: those of the search, or the finalists."""

    trials: int
    epochs: LowHigh
    """Epochs of all trials of the group together."""
    shape: Sequence[int]
    """Number of workers of each slot that they run in."""


def worker_seconds(part: Part, workers: int, epoch_s: float) -> LowHigh:
    """Returns the seconds of all workers together, given that an epoch takes `epoch_s` on `workers` workers."""
    widest = max(_epoch_s(size, workers, epoch_s).high * size for size in part.shape)
    return LowHigh(part.epochs.low * epoch_s * workers, part.epochs.high * widest)


def wall_seconds(part: Part, epochs: int, workers: int, epoch_s: float) -> LowHigh:
    """Returns the elapsed seconds. With early stopping, at best all slots stay busy; at worst all trials run in full.

    `epochs` is the length of a full trial.
    """
    slots = len(part.shape)
    in_full = -(-part.trials // slots) * epochs
    at_best = in_full if part.epochs.low == part.epochs.high else max(part.epochs.low / slots, epochs)
    fastest = min(_epoch_s(size, workers, epoch_s).low for size in part.shape)
    slowest = max(_epoch_s(size, workers, epoch_s).high for size in part.shape)
    return LowHigh(at_best * fastest, in_full * slowest)


def _epoch_s(size: int, workers: int, epoch_s: float) -> LowHigh:
    perfect = epoch_s * workers / size
    return LowHigh(perfect, max(perfect, epoch_s))
