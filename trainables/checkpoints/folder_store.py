"""Where one trial keeps its checkpoints, wherever that is: each is whole or not there, and is read as a local folder.

Stores are values that travel to the workers; a checkpoint's name is what all ranks of a trial agree on.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from trainables.checkpoints.checkpoint import MANIFEST, checkpoint_folder, latest_checkpoint, prune_checkpoints, verify
from trainables.errors import StorageError

KEEP_CHECKPOINTS = 2


class StoredCheckpoint(NamedTuple):
    """One entry of `CheckpointStore.listed`."""

    name: str
    num_bytes: int
    complete: bool
    """It has a manifest in its place; what interrupted writes and removals left has none and is never read."""


class CheckpointStore(Protocol):
    """The checkpoints of one trial."""

    def save(self, epoch: int, write: Callable[[Path], Path], step: int = 0) -> None:
        """Stores what `write` puts into the folder it is given: the state after an epoch, or after `step` steps of the
        next one. After it returns, the checkpoint outlives this node.

        Raises StorageError where the storage does not take it; nothing that is read later is left of it then.
        """
        ...

    def newest(self) -> AbstractContextManager[Path | None]:
        """The newest checkpoint that matches its manifest, as a folder that is there for the time of the block.

        None where there is none; an incomplete or altered one is passed over for the one before. Raises StorageError
        where the storage is away, which says nothing of what it holds.
        """
        ...

    def named(self, name: str) -> AbstractContextManager[Path]:
        """The checkpoint that another rank's `newest` gave, by its folder's name; CheckpointError if not whole.

        Raises StorageError where the storage is away.
        """
        ...

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        """Removes all but those of the newest `keep` epochs, and what interrupted writes left.

        Raises StorageError where the storage is away.
        """
        ...

    def listed(self) -> list[StoredCheckpoint]:
        """Everything that is stored, the newest first, then what is not complete."""
        ...

    def remove(self, name: str) -> None:
        """Removes one of `listed`; a kill in between leaves it incomplete. One that has gone already is no error."""
        ...


@contextmanager
def reading(place: object) -> Iterator[None]:
    """StorageError for an OSError of the block; a file that has just been cleared away is none of the storage's."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError.unread(place, error) from None


@dataclass(frozen=True)
class FolderStore:
    """Checkpoints in a trial's own folder, on a file system that every node reaches."""

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
        folder = self.folder / "checkpoints" / name
        with reading(folder):
            verify(folder)
        yield folder

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        with reading(self.folder):
            prune_checkpoints(self.folder, keep)

    def listed(self) -> list[StoredCheckpoint]:
        # Links lead to what is not ours to count or remove.
        if self._place.is_symlink():
            return []
        found = [path for path in self._place.glob("*epoch_*") if path.is_dir() and not path.is_symlink()]
        stored = [StoredCheckpoint(path.name, _num_bytes(path), _complete(path)) for path in found]
        return sorted(stored, key=lambda one: (one.complete, one.name), reverse=True)

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
        return checkpoint_folder(self.folder, 0).parent


def _complete(folder: Path) -> bool:
    return not folder.name.startswith(".") and (folder / MANIFEST).is_file()


def _num_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
