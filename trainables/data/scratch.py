"""A hidden folder for data sets in the making. Whoever dies in between leaves it behind; the next one removes it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".preparing-"
_LOCK = "lock"


@contextmanager
def scratch_folder(data_root: Path, name: str) -> Iterator[Path]:
    """An empty folder under `data_root`, removed at the end, with `data_root` itself where it was made for nothing."""
    was_there = data_root.exists()
    data_root.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(data_root)
    folder, lock = _locked_folder(data_root, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        if not was_there:
            with suppress(OSError):
                data_root.rmdir()


def _remove_abandoned(data_root: Path) -> None:
    """A living owner holds its lock, on whatever machine it runs; the kernel releases a dead one's."""
    for folder in data_root.glob(f"{PREFIX}*"):
        lock = _lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked_folder(data_root: Path, name: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=data_root))
        lock = _lock(folder)
        if lock is not None and (folder / _LOCK).exists():
            return folder, lock
        # Another process took the folder for abandoned before it was locked.
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Takes a folder's lock; None where another holds it, or where the folder is gone."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
