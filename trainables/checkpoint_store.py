"""Where one trial keeps its checkpoints, wherever that is: each is whole or not there, and is read as a local folder.

Stores are values that travel to the workers; a checkpoint's name is what all ranks of a trial agree on.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainables.checkpoint import checkpoint_folder, latest_checkpoint, prune_checkpoints, verify

KEEP_CHECKPOINTS = 2


class CheckpointStore(Protocol):
    """The checkpoints of one trial."""

    def save(self, epoch: int, write: Callable[[Path], Path], step: int = 0) -> None:
        """Stores what `write` puts into the folder it is given: the state after an epoch, or after `step` steps of the
        next one. After it returns, the checkpoint outlives this node.

        Raises OSError where the storage does not take it; nothing that is read later is left of it then.
        """
        ...

    def newest(self) -> AbstractContextManager[Path | None]:
        """The newest checkpoint that matches its manifest, as a folder that is there for the time of the block.

        None where there is none; an incomplete or altered one is passed over for the one before.
        """
        ...

    def named(self, name: str) -> AbstractContextManager[Path]:
        """The checkpoint that another rank's `newest` gave, by its folder's name; CheckpointError if not whole."""
        ...

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        """Removes all but the newest `keep`, and what interrupted writes left."""
        ...


@dataclass(frozen=True)
class FolderStore:
    """Checkpoints in a trial's own folder, on a file system that every node reaches."""

    folder: Path

    def save(self, epoch: int, write: Callable[[Path], Path], step: int = 0) -> None:
        write(checkpoint_folder(self.folder, epoch, step))

    @contextmanager
    def newest(self) -> Iterator[Path | None]:
        yield latest_checkpoint(self.folder)

    @contextmanager
    def named(self, name: str) -> Iterator[Path]:
        folder = self.folder / "checkpoints" / name
        verify(folder)
        yield folder

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        prune_checkpoints(self.folder, keep)
