"""Keeps a pool as large as its cluster: slots start or grow as nodes join, and go or shrink as nodes leave."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from orchestrator.slots.pool import SlotPool

LOOK_S = 5.0

logger = logging.getLogger(__name__)


@contextmanager
def elastic(
    pool: SlotPool, shape: Callable[[], Sequence[int]], tell: Callable[[str], None], look_s: float = LOOK_S
) -> Iterator[None]:
    """Resizes the pool to `shape()`, the workers of each slot, every `look_s` seconds.

    The shape has one slot at the least, also where the cluster has no room even for it: it waits for a node, and its
    trial with it. `tell` hears of slots that wait for room, once for each number of them.
    """
    over, waited = threading.Event(), 0

    def look() -> None:
        nonlocal waited
        while not over.wait(look_s):
            try:
                # Also at an unchanged shape: slots that were let go are ended once their trials are over.
                pool.resize(shape())
                waited = _tell_of_waiting(pool, waited, tell)
            except Exception:
                # The cluster is changing just now; the next look finds it settled.
                logger.warning("the pool could not be resized", exc_info=True)

    watcher = threading.Thread(target=look, name="elastic-pool", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(look_s)


def _tell_of_waiting(pool: SlotPool, before: int, tell: Callable[[str], None]) -> int:
    waiting = [status.no_room for status in pool.status() if status is not None and status.no_room]
    if len(waiting) != before:
        now = f"{len(waiting)} of {pool.size} trial slots have no workers yet: {waiting[0]}" if waiting else ""
        tell(now or "every trial slot has its workers")
    return len(waiting)
