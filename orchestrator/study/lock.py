"""One driver a study: an exclusive lock on a file in the study's folder, gone with the process that holds it.

`flock` is the kernel's: no clock, no heartbeat, and a killed holder's lease is free at once. On NFS (Linux, v4, or v3
with its lock service) it holds between machines too, and a holder whose machine is lost keeps it until the server
gives it up, about 90 seconds. A mount with `nolock` or `local_lock=flock` locks within one machine only, and a client
that was cut off for longer than the server waits can lose the lock unawares: for both the journal is the fence
(`journal.LockLostError`).
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import PreflightError
from trainables.runtime.file_lock import is_locked, open_lock_file, take_lock

_TRIES, _BETWEEN_TRIES_S = 3, 0.1


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Holds the study for this process; PreflightError while another one does."""
    path = folder / "lease"
    descriptor = open_lock_file(path)
    try:
        try:
            _take(descriptor)
        except OSError:
            raise _refusal(folder) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        os.close(descriptor)


def check_free(folder: Path) -> None:
    """PreflightError while another process runs the study. It may be taken in the next moment: only `study_lock`
    decides, and this spares the preparations before it."""
    if is_held(folder):
        raise _refusal(folder)


def is_held(folder: Path) -> bool:
    """Whether a process runs the study now; asks without taking the lease or writing."""
    return is_locked(folder / "lease")


def _refusal(folder: Path) -> PreflightError:
    owner = (folder / "lease").read_text(encoding="utf-8", errors="replace").strip()
    return PreflightError(
        f"the study in {folder} is being run by another process ({owner[:200]}); wait for it, stop it, or give this "
        "search another name with --name."
    )


def _take(descriptor: int) -> None:
    """Takes the lease; OSError where another process keeps it, rather than looking at it for a moment."""
    for _ in range(_TRIES - 1):
        try:
            take_lock(descriptor)
        except OSError:
            time.sleep(_BETWEEN_TRIES_S)
        else:
            return
    take_lock(descriptor)
