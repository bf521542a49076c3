"""Stores a trial's checkpoints in its own folder, on a file system that every node reaches."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trainables.checkpoints.checkpoint import (
    MANIFEST,
    checkpoint_folder,
    checkpoints_folder,
    latest_checkpoint,
    prune_checkpoints,
    verify,
)
from trainables.checkpoints.checkpoint_name import PREFIX, Age, attempt_age
from trainables.checkpoints.checkpoint_store import KEEP_CHECKPOINTS, StoredCheckpoint, reading

_UNKNOWN = Age(-1, 0, 0)


@dataclass(frozen=True)
class FolderStore:
    """The checkpoints of one trial, in the trial's folder."""

    folder: Path

    def save(self, epoch: int, write: Callable[[Path], Path], step: int = 0) -> None:
        write(checkpoint_folder(self.folder, epoch, step))

    @contextmanager
    def newest(self) -> Iterator[Path | None]:
        with reading(self.folder):
            found = latest_checkpoint(self.folder)
        yield found

    @contextmanager
    def named(self, name: str) -> Iterator[Path]:
        folder = self._place / name
        with reading(folder):
            verify(folder)
        yield folder

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        with reading(self.folder):
            prune_checkpoints(self.folder, keep)

    def listed(self) -> list[StoredCheckpoint]:
        # A link leads to files of others, which are neither counted nor removed.
        if self._place.is_symlink():
            return []
        found = [path for path in self._place.glob(f"*{PREFIX}*") if path.is_dir() and not path.is_symlink()]
        stored = [StoredCheckpoint(path.name, _num_bytes(path), _complete(path)) for path in found]
        return sorted(stored, key=lambda one: (one.complete, attempt_age(one.name) or _UNKNOWN, one.name), reverse=True)

    def remove(self, name: str) -> None:
        folder, aside = self._place / name, self._place / f".{name.removeprefix('.')}"
        with suppress(FileNotFoundError):
            if aside != folder:
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
            shutil.rmtree(aside)
        for emptied in (self._place, self.folder):
            with suppress(OSError):
                emptied.rmdir()

    @property
    def _place(self) -> Path:
        return checkpoints_folder(self.folder)


def _complete(folder: Path) -> bool:
    return not folder.name.startswith(".") and (folder / MANIFEST).is_file()


def _num_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
