"""The interface of a trial's checkpoint store, for every kind of storage: each checkpoint is whole or not there.

Stores are values that travel to the workers. All ranks of a trial agree on a checkpoint by its name.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from trainables.errors import StorageError

KEEP_CHECKPOINTS = 2


class StoredCheckpoint(NamedTuple):
    """One entry of `CheckpointStore.listed`."""

    name: str
    num_bytes: int
    complete: bool
    """It has a manifest. An interrupted write or removal leaves a checkpoint without one, which is never read."""


class CheckpointStore(Protocol):
    """The checkpoints of one trial."""

    def save(self, epoch: int, write: Callable[[Path], Path], step: int = 0) -> None:
        """Stores the state after an epoch, or after `step` steps of the next one.

        `write` puts the files into the folder that it receives. After `save` returns, the checkpoint outlives this
        node. Raises StorageError where the storage refuses it; no later reader then sees a part of it.
        """
        ...

    def newest(self) -> AbstractContextManager[Path | None]:
        """The newest checkpoint that matches its manifest, as a folder that exists for the time of the block.

        None if there is none. Skips incomplete and altered checkpoints. Raises StorageError where the storage does not
        answer, because it may still hold checkpoints.
        """
        ...

    def named(self, name: str) -> AbstractContextManager[Path]:
        """The checkpoint that another rank's `newest` gave, by its folder's name.

        Raises CheckpointError if it is not whole, StorageError where the storage does not answer.
        """
        ...

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        """Removes all checkpoints except those of the newest `keep` states, and the leftovers of interrupted writes.

        Raises StorageError where the storage does not answer.
        """
        ...

    def listed(self) -> list[StoredCheckpoint]:
        """All stored checkpoints: the complete ones, newest first, then the incomplete ones."""
        ...

    def remove(self, name: str) -> None:
        """Removes one of `listed`; a kill meanwhile leaves it incomplete. No error if it is already gone."""
        ...


@contextmanager
def reading(place: object) -> Iterator[None]:
    """Turns an OSError of the block into StorageError, except FileNotFoundError: a pruned file is no storage fault."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError.unreadable(place, error) from None
