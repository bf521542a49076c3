"""Keeps a pool as large as its cluster allows: slots start or grow when there is room, and end when there is not."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from orchestrator.slots.messages import PoolState
from orchestrator.slots.pool import SlotPool

LOOK_S = 2.0

logger = logging.getLogger(__name__)


@contextmanager
def autoscaled(
    pool: SlotPool,
    shape: Callable[[PoolState], Sequence[int]],
    observe: Callable[[PoolState], None] = lambda state: None,
    look_s: float = LOOK_S,
) -> Iterator[None]:
    """Resizes the pool to `shape(state)`, the workers of each slot, every `look_s` seconds.

    The shape has at least one slot. If the cluster has no room even for that one, the slot and its trial wait for it.
    `observe` gets the pool's state of each look, after the resizing.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(look_s):
            try:
                state = pool.look()
                # Also at an unchanged shape: surplus slots are ended once their trials are over.
                pool.resize(shape(state))
                observe(state)
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
