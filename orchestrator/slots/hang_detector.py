"""Decides whether a worker group hangs, from the heartbeats of its ranks.

A rank that is stopped, or whose machine is cut off, sends no heartbeat. A rank that is stuck in its work sends
heartbeats that always report the same progress. The time that a step may take is measured: a fixed limit that suits an
hour-long epoch would be far too long for a short one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.slots.messages import GroupId

HEARTBEAT_S = 2.0
SILENT_S = 60.0
"""Without a heartbeat. Also the wait for a rank's first one, as imports are slow on a busy machine."""
START_S = 600.0
"""The least limit until the first epoch has passed: opening data, compiling and fetching weights are no steps."""
MEASURED_EPOCHS = 2
"""Epochs after which the measured limit holds: pauses of the first epoch belong to the start as well."""
LEAST_S = 120.0
PAUSES = 20
"""The measured limit, in multiples of the longest pause since the trial's first epoch."""


class RankProgress(NamedTuple):
    """One heartbeat: what a rank reports of itself."""

    rank: int
    world_size: int
    done: int
    """`trainables.runtime.progress.work_done`."""
    epochs: int
    """Epochs of the present trial that its process has trained."""
    stepped: str = ""
    """The present trial, once its process has made a step of it."""


@dataclass
class _Rank:
    heard_s: float
    moved_s: float
    done: int = -1
    epochs: int = 0
    longest_s: float = 0.0
    """Longest pause since the first epoch of the present trial."""


class HangDetector:
    """Watches one worker group at a time. Not thread-safe."""

    def __init__(self, hang_timeout_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`hang_timeout_s`: how long a rank may make no progress after the first epoch; None: as measured."""
        self._asked_s, self._clock = hang_timeout_s, clock
        self.group: GroupId | None = None
        self._ranks: dict[int, _Rank] = {}
        self._looked_s = clock()

    def heartbeat(self, group: GroupId, progress: RankProgress) -> None:
        """Notes a rank's progress. The first heartbeat of a new group ends the watch over the group before it."""
        now_s = self._clock()
        if group != self.group:
            # All ranks are expected from now on, so that one without any heartbeat is missed as well.
            self.group, self._ranks = group, {rank: _Rank(now_s, now_s) for rank in range(progress.world_size)}
        rank = self._ranks[progress.rank]
        rank.heard_s = now_s
        if progress.epochs < rank.epochs:
            # Another trial, with steps of its own.
            rank.longest_s = 0.0
        if progress.done != rank.done:
            if 0 < rank.epochs <= progress.epochs:
                rank.longest_s = max(rank.longest_s, now_s - rank.moved_s)
            rank.moved_s = now_s
        rank.done, rank.epochs = progress.done, progress.epochs

    def stuck(self, every_s: float) -> str | None:
        """Why the group hangs, or None. Has to be called every `every_s` seconds.

        Time in which the caller itself stood still (a suspended machine, a starved process) is not counted.
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
                return f"rank {number} sent no heartbeat for {silent_s:.0f} s: it is stopped, or cut off"
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
