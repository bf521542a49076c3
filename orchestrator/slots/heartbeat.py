"""A worker's heartbeats to its slot: each reports progress, and its answer says whether to leave the trial.

A thread of its own sends them, so that they continue during a long step.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from orchestrator.slots.hang_detector import HEARTBEAT_S, RankProgress
from orchestrator.slots.messages import GroupId
from trainables.runtime.progress import work_done

ANSWER_S = 10.0
AGREE_EVERY_S = 1.0
T = TypeVar("T")


class Heartbeat:
    """Context manager around everything that a worker does for its slot."""

    def __init__(
        self, slot: Any, group: GroupId, rank: int, world_size: int, broadcast: Callable[[Any, int], Any]
    ) -> None:
        self._slot, self._group, self._rank, self._world_size = slot, group, rank, world_size
        self._broadcast = broadcast
        self._epochs = 0
        self._trial, self._stepped = "", ""
        self._asked_to_leave = False
        self._steps, self._agree_at, self._agreed_s = 0, 1, time.monotonic()
        self._over = threading.Event()

    def __enter__(self) -> "Heartbeat":
        threading.Thread(target=self._send, name="heartbeat", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def begin(self, trial: str) -> None:
        """A trial begins, on all ranks: nothing is known of its steps."""
        self._trial, self._stepped = trial, ""
        self._epochs, self._steps, self._agree_at = 0, 0, 1

    def epoch_done(self) -> None:
        """From the first epoch on, the slot knows how long this trial's steps take."""
        self._stepped = self._trial
        self._epochs += 1

    def leave(self) -> bool:
        """Whether all ranks have to leave now, with a checkpoint. Collective: every rank calls it after each step.

        Rank 0 decides for all ranks. It broadcasts its answer about once a second, at a step that all ranks know
        beforehand, so that fast steps are not slowed.
        """
        self._stepped = self._trial
        if self._world_size == 1:
            return self._asked_to_leave
        self._steps += 1
        if self._steps < self._agree_at:
            return False
        now_s = time.monotonic()
        pace = self._steps / max(now_s - self._agreed_s, 1e-3)
        leave, self._agree_at = self._broadcast((self._asked_to_leave, max(1, int(pace * AGREE_EVERY_S))), self._rank)
        self._steps, self._agreed_s = 0, now_s
        return bool(leave)

    def _send(self) -> None:
        context = ray.get_runtime_context()
        me, node = context.current_actor, context.get_node_id()
        while True:
            try:
                progress = RankProgress(self._rank, self._world_size, work_done(), self._epochs, self._stepped)
                answer = self._slot.worker_heartbeat.remote(self._group, progress, me, node)
                self._asked_to_leave = ray.get(answer, timeout=ANSWER_S)
            except (RayActorError, GetTimeoutError):
                # A slot that is gone takes this worker with it; a slow slot is asked again.
                pass
            if self._over.wait(HEARTBEAT_S):
                return
