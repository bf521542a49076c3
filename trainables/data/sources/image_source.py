"""The interface of a data set's reader: the classes, and each split's images in pieces."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from trainables.data.arrow_store import Split
from trainables.data.sources.bad_rows import BadRows
from trainables.data.sources.notes import Notes


class Choices(NamedTuple):
    """What a user may choose about a source."""

    extra: bool = False
    """Whether to add SVHN's additional training images to its training split."""
    test_split: str = "test"
    """Parquet only: the name of the split whose files hold the test images."""
    relabel: bool = False
    """Parquet only: leave out classes without training images, and number the others from 0."""


DEFAULT = Choices()


class Request(NamedTuple):
    """Options for reading a source."""

    image_size: int
    """Side of the square images to return, in pixels."""
    scratch: Path
    """A folder for temporary files, on the data set's disk; removed afterwards."""
    bad_rows: BadRows
    choices: Choices
    notes: Notes


class ImageSource(NamedTuple):
    """Readers raise DataError for a damaged file, and add each bad row to the request's `BadRows`."""

    class_names: tuple[str, ...]
    description: str
    """Origin of the images, stored in the meta file."""
    num_images: Mapping[str, int]
    """Number of images of each split, before bad rows are skipped."""
    chunks: Callable[[str], Iterator[Split]]
    """Pieces of one split, in order; all have the same optional columns."""


def rows_per_piece(image_size: int) -> int:
    """Number of rows whose images take about 16 MiB."""
    return max(1, min(1024, 2**24 // (3 * image_size**2)))
