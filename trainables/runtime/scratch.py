"""A hidden folder for data sets in the making. Whoever dies in between leaves it behind; the next one removes it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainables.runtime.file_lock import open_locked

PREFIX = ".preparing-"
_LOCK = "lock"
_ATTEMPTS = 10


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
        if lock is not None:
            os.close(lock)
        if not was_there:
            with suppress(OSError):
                data_root.rmdir()


def _remove_abandoned(data_root: Path) -> None:
    """A living owner holds its lock, on whatever machine it runs; the kernel releases a dead one's."""
    for folder in data_root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = open_locked(folder / _LOCK)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked_folder(data_root: Path, name: str) -> tuple[Path, int | None]:
    """A new folder and its lock; None on a file system without locks, where nobody clears folders either."""
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=data_root))
        try:
            lock = open_locked(folder / _LOCK)
        except (BlockingIOError, FileNotFoundError):
            # Before it was locked, another process took it for abandoned.
            continue
        except OSError:
            return folder, None
        if (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)
    raise FileNotFoundError(f"folders {data_root / PREFIX}* disappear as soon as they are made")
