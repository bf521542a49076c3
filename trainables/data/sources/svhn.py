"""Reads SVHN's cropped digits from the official .mat files: train, test and, on request, extra."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.data.arrow_store import Split
from trainables.data.catalog import DIGITS
from trainables.data.sources.bad_rows import good_labels
from trainables.data.sources.checksum import check_md5
from trainables.data.sources.download import Download
from trainables.data.sources.image_source import ImageSource, Request, rows_per_piece
from trainables.data.sources.mat import DAMAGED, Variable, read_variables
from trainables.data.sources.pixels import resize_images
from trainables.errors import DataError

SIDE_PX = 32


class Digits(NamedTuple):
    """One file's variables: X uint8 (height, width, channel, N), column-major, so an image is contiguous; y (N, 1)."""

    path: Path
    images: Variable
    labels_N: np.ndarray
    """int64; the official label 10 is digit 0."""


class Svhn(NamedTuple):
    """The official files, with the MD5 that torchvision publishes for each."""

    downloads: Mapping[str, Download]

    def find(self, path: Path) -> Path | None:
        """The folder of the files, from the folder itself or the path of one file."""
        folder = path if path.is_dir() else path.parent
        names = {self.downloads[part].file for part in ("train", "test")}
        given = path.is_dir() or path.name in {download.file for download in self.downloads.values()}
        return folder if given and any((folder / name).is_file() for name in names) else None

    def source(self, folder: Path, request: Request) -> ImageSource:
        parts = {"train": ("train", "extra") if request.choices.extra else ("train",), "test": ("test",)}
        digits = {part: self._digits(folder, part) for names in parts.values() for part in names}

        def chunks(split: str) -> Iterator[Split]:
            for part in parts[split]:
                yield from _images(digits[part], request)

        num_images = {split: sum(len(digits[part].labels_N) for part in names) for split, names in parts.items()}
        description = f"svhn {'train + extra' if request.choices.extra else 'train'} {folder.resolve()}"
        return ImageSource(DIGITS, description, num_images, chunks)

    def _digits(self, folder: Path, part: str) -> Digits:
        path = folder / self.downloads[part].file
        check_md5(path, self.downloads[part].md5, f"Get {self.downloads[part].url}.")
        try:
            found = read_variables(path)
            if not {"X", "y"} <= found.keys():
                raise ValueError(f"it holds the variables {', '.join(found) or 'none'}, not X and y")
            labels_N = np.concatenate([np.empty(0, np.int64), *found["y"].pieces(2**20)])
        except DAMAGED as error:
            raise _unreadable(path, error) from error
        images, num = found["X"], len(labels_N)
        # MATLAB drops a trailing dimension of size one.
        shape = images.shape + (1,) * (4 - len(images.shape))
        if images.dtype != np.uint8 or shape != (SIDE_PX, SIDE_PX, 3, num):
            raise _unreadable(path, ValueError(f"X is {images.dtype} {shape}, not uint8 (32, 32, 3, {num})"))
        labels_N = np.where(np.isfinite(labels_N) & (labels_N == np.floor(labels_N)), labels_N, -1).astype(np.int64)
        # The files call digit 0 "10", so a label of 0 is invalid.
        return Digits(path, images, np.select([labels_N == 10, labels_N == 0], [0, -1], labels_N))


def _images(digits: Digits, request: Request) -> Iterator[Split]:
    good_N = good_labels(
        digits.labels_N,
        len(DIGITS),
        lambda row: f"{digits.path}, row {row}",
        f"Get {digits.path.name} again",
        request.bad_rows,
    )
    row, values = 0, SIDE_PX * SIDE_PX * 3
    try:
        for piece in digits.images.pieces(rows_per_piece(request.image_size) * values):
            images_NCWH = piece.reshape(-1, 3, SIDE_PX, SIDE_PX)
            good = good_N[row : row + len(images_NCWH)]
            labels_N = digits.labels_N[row : row + len(images_NCWH)]
            yield Split(resize_images(images_NCWH[good].transpose(0, 3, 2, 1), request.image_size), labels_N[good])
            row += len(images_NCWH)
    except DAMAGED as error:
        raise _unreadable(digits.path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a file of SVHN's cropped digits: {error}. Get it again.")


SVHN = Svhn(
    {
        part: Download(f"http://ufldl.stanford.edu/housenumbers/{part}_32x32.mat", md5)
        for part, md5 in {
            "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
            "test": "eb5a983be6a315427106f1b164d9cef3",
            "extra": "a93ce644f1a588dc4d68dda5feec44a7",
        }.items()
    }
)
