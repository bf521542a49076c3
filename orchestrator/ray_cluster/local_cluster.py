"""Starts a Ray cluster on this machine for the time of a block, and notices when it is lost.

A process of its own runs the cluster (`local_head`). No signal to the driver's process group reaches it, and it ends
with the driver, however the driver ends.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ray._private import ray_constants

from orchestrator.errors import PreflightError
from orchestrator.ray_cluster.neutral_folder import neutral_folder
from orchestrator.ray_cluster.ray_folder import ray_folder

START_S = 90.0
LOOK_S = 0.2
END_S = 10.0
LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch to a cluster of one machine; off, it takes 127.0.0.1 as given, and not for the machine's network
address."""
_GLOO_ON_LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


class StartCancelledError(Exception):
    """An end was requested while the cluster started."""


@contextmanager
def local_cluster(num_cpus: int | None, cancelled: Callable[[], bool], lost: Callable[[str], None]) -> Iterator[str]:
    """Yields the address of a new cluster; `num_cpus` None means all of the machine.

    If the cluster is lost, calls `lost` once, from another thread, with a sentence that names the process that died.
    Raises PreflightError if Ray does not start, and StartCancelledError as soon as `cancelled()`.
    """
    settings = {"num_cpus": num_cpus, "temp_dir": str(ray_folder())}
    # -P: a module in this file's folder, or in the user's, must not hide one of Ray's.
    command = [sys.executable, "-P", str(Path(__file__).with_name("local_head.py")), json.dumps(settings)]
    with neutral_folder():
        head = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**_GLOO_ON_LOOPBACK, **os.environ, LOOPBACK_SWITCH: "0"},
            start_new_session=True,
        )
    ended = threading.Event()
    try:
        address = _address(head, cancelled)
        threading.Thread(target=_watch, args=(head, ended, lost), name="local cluster", daemon=True).start()
        with _on_loopback():
            yield address
    finally:
        ended.set()
        _end(head)


def _address(head: "subprocess.Popen[bytes]", cancelled: Callable[[], bool]) -> str:
    assert head.stdout is not None
    deadline_s = time.monotonic() + START_S
    while not select.select([head.stdout], [], [], LOOK_S)[0]:
        if cancelled():
            raise StartCancelledError
        if time.monotonic() > deadline_s:
            raise PreflightError(_not_started(f"it was not ready after {START_S:g} s"))
    told = _event(head)
    if "address" not in told:
        raise PreflightError(_not_started(told.get("failed", "its process ended")))
    return told["address"]


def _not_started(reason: str) -> str:
    return (
        f"Ray did not start on this machine ({reason.rstrip('.')}); the machine may be too busy, or out of memory. "
        "Nothing was started: try again when the machine is less busy; --resume continues a search."
    )


def _event(head: "subprocess.Popen[bytes]") -> dict[str, str]:
    """The next line of the head's process; empty once it has ended."""
    assert head.stdout is not None
    line = head.stdout.readline()
    found: dict[str, str] = json.loads(line) if line else {}
    return found


def _watch(head: "subprocess.Popen[bytes]", ended: threading.Event, lost: Callable[[str], None]) -> None:
    told = _event(head)
    if not ended.is_set():
        if not told:
            _kill_group(head)
        name = told.get("lost", "main process")
        lost(f"Ray's {name} on this machine has died, and the local Ray cluster cannot go on without it.")


def _end(head: "subprocess.Popen[bytes]") -> None:
    """Ends the cluster with all its processes."""
    assert head.stdin is not None
    with suppress(OSError):
        head.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        head.wait(END_S)
    if head.returncode is None or head.returncode < 0:
        _kill_group(head)
        head.wait()


def _kill_group(head: "subprocess.Popen[bytes]") -> None:
    """For a head process that hangs, or that was killed itself and has left its children."""
    with suppress(OSError):
        os.killpg(head.pid, signal.SIGKILL)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Lets Ray's code in this process take 127.0.0.1 as it is; else it looks for the cluster on the network address."""
    constants: Any = ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
