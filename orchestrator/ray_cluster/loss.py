"""Notices that the cluster is lost, and says so once, in one sentence."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import ray

from orchestrator.errors import EXIT_FAILED
from orchestrator.ray_cluster.heads import probe_port
from trainables.errors import AIBError

LOOK_S = 1.0
SILENT_HEAD_S = 50.0
"""Ray's own limit is 60 s, after which it aborts the driver. A head with a stored state may come back before."""
VERDICT_S = 3.0
END_S = 60.0

logger = logging.getLogger(__name__)


def end_after_loss(sentence: str) -> None:
    """Ends this process with exit code 1; Ray's own calls could block it for a minute."""
    logger.error(sentence)
    os._exit(EXIT_FAILED)


class Loss:
    """Passes the first sentence about a lost cluster to `lost`."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._lost = lost
        self._declared, self._handled = threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def declare(self, sentence: str) -> None:
        with self._lock:
            if self._declared.is_set():
                return
            self._declared.set()
        self._lost(sentence)
        self._handled.set()

    @contextmanager
    def explains_errors(self) -> Iterator[None]:
        """Holds back an error of the block while a loss, of which it is a result, is being handled."""
        try:
            yield
        except Exception as error:
            # Ray's calls may notice the loss before the watcher does.
            if self._declared.wait(0 if isinstance(error, AIBError) else VERDICT_S):
                self._handled.wait(END_S)
            raise


@contextmanager
def watched(address: str, declare: Callable[[str], None]) -> Iterator[None]:
    """Watches the head at `address` and this machine's raylet, through which the connected driver works."""
    over = threading.Event()
    raylet = _raylet(ray.get_runtime_context().get_node_id())

    def watch() -> None:
        answered_s = time.monotonic()
        while not over.wait(LOOK_S):
            if raylet is not None and not _runs(raylet):
                declare(
                    f"Ray's raylet on this machine has died, and with it the connection to the cluster at {address}."
                )
                return
            if _answers(address):
                answered_s = time.monotonic()
            elif time.monotonic() - answered_s > SILENT_HEAD_S:
                declare(f"the head of the Ray cluster at {address} has not answered for {SILENT_HEAD_S:g} s.")
                return

    watcher = threading.Thread(target=watch, name="cluster watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _raylet(node_id: str) -> psutil.Process | None:
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if f"--node_id={node_id}" in " ".join(process.info["cmdline"] or []) and "raylet" in process.name():
                return process
    return None


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _answers(address: str) -> bool:
    try:
        probe_port(address)
    except OSError:
        return False
    return True
