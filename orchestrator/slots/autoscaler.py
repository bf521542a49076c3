"""Keeps a pool as large as its cluster: slots start or grow when nodes join, and shrink or end when nodes leave."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from orchestrator.slots.pool import SlotPool

LOOK_S = 5.0

logger = logging.getLogger(__name__)


@contextmanager
def autoscaled(
    pool: SlotPool, shape: Callable[[], Sequence[int]], report: Callable[[str], None], look_s: float = LOOK_S
) -> Iterator[None]:
    """Resizes the pool to `shape()`, the workers of each slot, every `look_s` seconds.

    The shape has at least one slot. If the cluster has no room even for that one, the slot and its trial wait for a
    node. `report` gets a line whenever the number of slots that wait for room changes.
    """
    over, waited = threading.Event(), 0

    def look() -> None:
        nonlocal waited
        while not over.wait(look_s):
            try:
                # Also at an unchanged shape: surplus slots are ended once their trials are over.
                pool.resize(shape())
                waited = _report_waiting(pool, waited, report)
            except Exception:
                # The cluster is just changing; the next look finds it settled.
                logger.warning("the pool could not be resized", exc_info=True)

    watcher = threading.Thread(target=look, name="autoscaler", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(look_s)


def _report_waiting(pool: SlotPool, before: int, report: Callable[[str], None]) -> int:
    waiting = [status.no_room for status in pool.status() if status is not None and status.no_room]
    if len(waiting) != before:
        now = f"{len(waiting)} of {pool.size} trial slots have no workers yet: {waiting[0]}" if waiting else ""
        report(now or "every trial slot has its workers")
    return len(waiting)
