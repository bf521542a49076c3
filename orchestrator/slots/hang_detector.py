"""Whether a worker group is stuck: told of every rank's progress, it says which rank has made none for too long.

A rank that is stopped, or whose machine has gone silent, sends no beats. One that is stuck in its work sends beats that
always tell the same count. How long a step may take is measured: a limit in seconds that suits an hour-long epoch
would find nothing in a short one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

BEAT_S = 2.0
SILENT_S = 60.0
"""Without a beat, and before a rank's first one: imports take their time where processors are scarce."""
START_S = 600.0
"""At least, until the first epoch has passed: opening data, compiling, and fetching weights are no steps."""
MEASURED_EPOCHS = 2
"""A limit that is measured comes down to the steps' own after so many: the first one's pauses are the start's too."""
LEAST_S = 120.0
PAUSES = 20
"""So many times the longest pause since the trial's first epoch is stuck."""


class Beat(NamedTuple):
    """What a rank tells of itself."""

    rank: int
    world_size: int
    done: int
    """`trainables.runtime.progress.work_done`."""
    epochs: int
    """Epochs of the present trial that its process has trained."""


@dataclass
class _Rank:
    heard_s: float
    moved_s: float
    done: int = -1
    epochs: int = 0
    longest_s: float = 0.0
    """Since the first epoch of the present trial."""


class Watchdog:
    """Watches one worker group after another. Not thread-safe."""

    def __init__(self, hang_timeout_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`hang_timeout_s` is how long a rank may make no progress once an epoch has passed; None: as measured."""
        self._asked_s, self._clock = hang_timeout_s, clock
        self.group = ""
        self._ranks: dict[int, _Rank] = {}
        self._looked_s = clock()

    def beat(self, group: str, beat: Beat) -> None:
        """Takes a rank's word; the first of a new group ends the watch over the one before."""
        now_s = self._clock()
        if group != self.group:
            # A rank that never says a word is missed as well.
            self.group, self._ranks = group, {rank: _Rank(now_s, now_s) for rank in range(beat.world_size)}
        rank = self._ranks[beat.rank]
        rank.heard_s = now_s
        if beat.epochs < rank.epochs:
            # Another trial, with steps of its own.
            rank.longest_s = 0.0
        if beat.done != rank.done:
            if 0 < rank.epochs <= beat.epochs:
                rank.longest_s = max(rank.longest_s, now_s - rank.moved_s)
            rank.moved_s = now_s
        rank.done, rank.epochs = beat.done, beat.epochs

    def stuck(self, every_s: float) -> str | None:
        """Why the group counts as stuck, if it does. To be called every `every_s` seconds.

        Time in which the caller itself stood still (a suspended machine, a starved process) is nobody's pause.
        """
        now_s = self._clock()
        late_s = now_s - self._looked_s - every_s
        self._looked_s = now_s
        if late_s > every_s:
            for rank in self._ranks.values():
                rank.heard_s, rank.moved_s = min(now_s, rank.heard_s + late_s), min(now_s, rank.moved_s + late_s)
        limit_s = self.limit_s
        for number, rank in sorted(self._ranks.items(), key=lambda entry: entry[1].moved_s):
            silent_s, still_s = now_s - rank.heard_s, now_s - rank.moved_s
            if silent_s > (SILENT_S if rank.done < 0 else min(SILENT_S, limit_s)):
                return f"rank {number} has not been heard of for {silent_s:.0f} s: stopped, or cut off"
            if still_s > limit_s:
                return f"rank {number} made no progress for {still_s:.0f} s (allowed: {limit_s:.0f} s)"
        return None

    @property
    def limit_s(self) -> float:
        """How long a rank may make no progress now."""
        epochs = min((rank.epochs for rank in self._ranks.values()), default=0)
        if self._asked_s is not None:
            return self._asked_s if epochs > 0 else max(START_S, self._asked_s)
        longest_s = max((rank.longest_s for rank in self._ranks.values()), default=0.0)
        return max(LEAST_S if epochs >= MEASURED_EPOCHS else START_S, PAUSES * longest_s)
