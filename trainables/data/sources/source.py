"""What a data set must offer to be prepared: its classes, and each split's images in pieces."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from trainables.data.store import Split


class Source(NamedTuple):
    """Readers raise DataError, naming file and row, from the moment a bad record is met."""

    class_names: tuple[str, ...]
    description: str
    """Where the images came from, kept in the meta file."""
    num_images: Mapping[str, int]
    """Images of each split."""
    chunks: Callable[[str], Iterator[Split]]
    """Pieces of one split, in order; all of them have the same optional columns."""
