"""Keeps a pool as large as its cluster: slots start as nodes join, and go as nodes leave."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.slots.pool import SlotPool

LOOK_S = 5.0

logger = logging.getLogger(__name__)


@contextmanager
def elastic(pool: SlotPool, capacity: Callable[[], int], look_s: float = LOOK_S) -> Iterator[None]:
    """Resizes the pool to `capacity()` slots, at least one, whenever that has changed.

    One slot stays where the cluster has no room even for it: it waits for a node, and its trial with it.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(look_s):
            try:
                # Also at an unchanged size: slots that were let go are ended once their trials are over.
                pool.resize(max(1, capacity()))
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
