"""Exclusive locks on files (`flock`), which the kernel releases when their holder dies."""

import fcntl
import os
from pathlib import Path


def open_locked(path: Path) -> int:
    """A descriptor that holds the lock of a file, created for its owner alone if missing; closing it releases the lock.

    Raises BlockingIOError where another process holds the lock, another OSError where the file system has no locks.
    """
    descriptor = open_lock_file(path)
    try:
        take_lock(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def open_lock_file(path: Path) -> int:
    """A descriptor of a lock file, created for its owner alone if missing; takes no lock yet."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def take_lock(descriptor: int) -> None:
    """Locks an open file without waiting; raises as `open_locked`."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; neither creates nor writes it.

    Takes a shared lock for a moment: a process that calls `take_lock` in this very moment fails, and should try again.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
