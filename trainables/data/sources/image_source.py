"""What a data set must offer to be prepared: its classes, and each split's images in pieces."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from trainables.data.arrow_store import Split
from trainables.data.sources.bad_rows import BadRows


class Request(NamedTuple):
    """How a source is to be read."""

    image_size: int
    """Side of the square images to give, in pixels."""
    scratch: Path
    """A folder for files on the way, removed afterwards; on the disk that will hold the data set."""
    bad_rows: BadRows
    extra: bool = False
    """Whether SVHN's additional training images join its training split."""


class ImageSource(NamedTuple):
    """Readers raise DataError for a damaged file, and hand each bad record, by file and row, to the bad rows."""

    class_names: tuple[str, ...]
    description: str
    """Where the images came from, kept in the meta file."""
    num_images: Mapping[str, int]
    """Images of each split; fewer come where bad rows are skipped."""
    chunks: Callable[[str], Iterator[Split]]
    """Pieces of one split, in order; all of them have the same optional columns."""


def rows_per_piece(image_size: int) -> int:
    """Rows whose images together take about 16 MiB."""
    return max(1, min(1024, 2**24 // (3 * image_size**2)))
