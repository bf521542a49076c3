"""Counts the images of a data set that is being prepared: by class, and test images that training has as well."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from trainables.data.arrow_store import SPLITS, Split
from trainables.data.sources.image_source import ImageSource
from trainables.errors import DataError

_SHOWN = 5


class Census:
    """Watches the pieces of a source; describes them once all have passed."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = class_names
        self._counts = {split: np.zeros(len(class_names), np.int64) for split in SPLITS}
        self._hashes: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}

    def watching(self, source: ImageSource) -> ImageSource:
        """The same source, whose pieces are counted as they are read."""

        def chunks(split: str) -> Iterator[Split]:
            for piece in source.chunks(split):
                self._counts[split] += np.bincount(piece.labels_N, minlength=len(self._names))
                self._hashes[split].append(np.array([_hash(image) for image in piece.images_NHWC], np.uint64))
                yield piece

        return source._replace(chunks=chunks)

    def notes(self) -> list[str]:
        """What the counts show that a user may not expect; DataError for test images of a class without training."""
        train_C, test_C = (self._counts[split] for split in SPLITS)
        if untrained := self._named((train_C == 0) & (test_C > 0)):
            raise DataError(
                f"no usable training image is of the class {untrained}, but test images are. Add training images of "
                "it, or remove its test images."
            )
        found = []
        if np.count_nonzero(train_C) == 1:
            found.append(f"all training images are of one class, {self._named(train_C > 0)}; training needs two")
        for what, mask_C in (
            ("without training images", train_C == 0),
            ("with a single training image", train_C == 1),
            ("without test images", (test_C == 0) & (train_C > 0)),
        ):
            if mask_C.any():
                found.append(f"classes {what}: {mask_C.sum()} of {len(mask_C)} ({self._named(mask_C)})")
        train_N, test_N = (np.concatenate(self._hashes[split]) for split in SPLITS)
        if repeated := int(np.isin(test_N, train_N).sum()):
            found.append(
                f"test images that equal a training image in every pixel: {repeated:,} of {len(test_N):,}; the test "
                "error may be too low"
            )
        return found

    def _named(self, mask_C: np.ndarray) -> str:
        classes = np.flatnonzero(mask_C)
        more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
        return ", ".join(f"'{self._names[label]}'" for label in classes[:_SHOWN]) + more


def _hash(image_HWC: np.ndarray) -> int:
    """64 bits are enough to count equal images: two different ones agree with a chance of 1 in 10^19."""
    return int.from_bytes(hashlib.blake2b(image_HWC.data, digest_size=8).digest())
