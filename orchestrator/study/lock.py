"""The study lock: one driver per study, by an exclusive lock on a file in the study's folder.

The kernel's `flock` needs no clock and no heartbeat, and it frees the lock as soon as its holder dies. On NFS (Linux,
v4, or v3 with its lock service) the lock also holds between machines; if the holder's machine is lost, the server frees
the lock after about 90 seconds. Two cases escape it: a mount with `nolock` or `local_lock=flock` locks within one
machine only, and a client that loses its connection for longer than the server waits also loses the lock without
notice. In both cases the journal stops the former holder (`journal.LockLostError`).
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import PreflightError
from trainables.runtime.file_lock import is_locked, open_lock_file, take_lock
from trainables.runtime.printable import printable_line

LOCK_FILE = "lease"
"""Earlier versions call the lock a lease; both must take the same file."""
_TRIES, _BETWEEN_TRIES_S = 3, 0.1


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Holds the lock for this process; raises PreflightError while another process holds it, or where it is no file."""
    path = folder / LOCK_FILE
    try:
        descriptor = open_lock_file(path)
    except OSError as error:
        raise PreflightError(
            f"the study's lock file {path} cannot be opened ({error.strerror}); remove it, and make the folder "
            "writable for this user."
        ) from None
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
    """Raises PreflightError while another process runs the study.

    An early check that saves the preparations; only `study_lock` decides.
    """
    if is_held(folder):
        raise _refusal(folder)


def is_held(folder: Path) -> bool:
    """Returns whether a process runs the study now; neither takes the lock nor writes."""
    return is_locked(folder / LOCK_FILE)


def _refusal(folder: Path) -> PreflightError:
    owner = printable_line((folder / LOCK_FILE).read_text(encoding="utf-8", errors="replace").strip()[:200])
    return PreflightError(
        f"the study in {folder} is being run by another process ({owner}); wait for it, stop it, or give this search "
        "another name with --name."
    )


def _take(descriptor: int) -> None:
    """Takes the lock; tries again, since `is_held` of another process holds it for a moment. Raises OSError."""
    for _ in range(_TRIES - 1):
        try:
            take_lock(descriptor)
        except OSError:
            time.sleep(_BETWEEN_TRIES_S)
        else:
            return
    take_lock(descriptor)
