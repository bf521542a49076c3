"""Hidden scratch folders for files in preparation. A killed process leaves its folder behind; the next one removes it.

Each folder holds a locked file while its owner lives.
"""

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
    """An empty folder under `data_root`, removed at the end; also removes `data_root` if it is new and still empty."""
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
    """Removes the folders whose lock is free: a living owner holds the lock, on any machine."""
    for folder in data_root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = open_locked(folder / _LOCK)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked_folder(data_root: Path, name: str) -> tuple[Path, int | None]:
    """A new folder and its lock; None on a file system without locks, where no process removes folders either."""
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=data_root))
        try:
            lock = open_locked(folder / _LOCK)
        except (BlockingIOError, FileNotFoundError):
            # Another process took the folder for abandoned, before this one had locked it.
            continue
        except OSError:
            return folder, None
        if (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)
    raise FileNotFoundError(f"folders {data_root / PREFIX}* disappear as soon as they are made")
