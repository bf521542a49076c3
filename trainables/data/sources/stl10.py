"""Reads STL-10's labelled images from the official binary files; skips the unlabelled ones."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.data.arrow_store import Split
from trainables.data.catalog import KNOWN_DATASETS
from trainables.data.sources.archive import Layout
from trainables.data.sources.bad_rows import good_labels
from trainables.data.sources.checksum import check_md5
from trainables.data.sources.download import Download
from trainables.data.sources.image_source import ImageSource, Request, rows_per_piece
from trainables.data.sources.pixels import resize_images
from trainables.errors import DataError

SIDE_PX = 96
IMAGE_BYTES = 3 * SIDE_PX * SIDE_PX
FILES = {"train": ("train_X.bin", "train_y.bin"), "test": ("test_X.bin", "test_y.bin")}
"""Images as bytes (N, channel, width, height), and labels as bytes (N), from 1."""


class Stl10(NamedTuple):
    """The official files, with the MD5 that torchvision publishes for each."""

    download: Download
    md5: Mapping[str, str]

    @property
    def layout(self) -> Layout:
        return Layout(self.download.file, "stl10_binary", tuple(name for names in FILES.values() for name in names))

    def find(self, path: Path) -> Path | None:
        return self.layout.find(path)

    def source(self, place: Path, request: Request) -> ImageSource:
        folder = self.layout.unpacked(place, request.scratch)
        for name in self.layout.files:
            check_md5(folder / name, self.md5[name], self.layout.advice)
        class_names = KNOWN_DATASETS["stl10"].class_names
        assert class_names is not None
        labels = {split: self._labels(folder, *names) for split, names in FILES.items()}

        def chunks(split: str) -> Iterator[Split]:
            return self._images(folder, split, labels[split], request)

        num_images = {split: len(labels_N) for split, labels_N in labels.items()}
        return ImageSource(class_names, f"stl10_binary {place.resolve()}", num_images, chunks)

    def _labels(self, folder: Path, images: str, labels: str) -> np.ndarray:
        labels_N = np.fromfile(folder / labels, np.uint8).astype(np.int64) - 1
        num_bytes = (folder / images).stat().st_size
        if num_bytes != len(labels_N) * IMAGE_BYTES:
            raise DataError(
                f"{folder / images} has {num_bytes:,} bytes, which is not {len(labels_N)} images, as many as "
                f"{labels} has labels. {self.layout.advice}"
            )
        return labels_N

    def _images(self, folder: Path, split: str, labels_N: np.ndarray, request: Request) -> Iterator[Split]:
        images, labels = (folder / name for name in FILES[split])
        advice = self.layout.advice[:-1]
        good_N = good_labels(labels_N, 10, lambda row: f"{labels}, row {row}", advice, request.bad_rows)
        step = min(rows_per_piece(request.image_size), rows_per_piece(SIDE_PX))
        with images.open("rb") as file:
            for start in range(0, len(labels_N), step):
                good = good_N[start : start + step]
                images_NCWH = np.fromfile(file, np.uint8, len(good) * IMAGE_BYTES).reshape(-1, 3, SIDE_PX, SIDE_PX)
                images_NHWC = resize_images(images_NCWH[good].transpose(0, 3, 2, 1), request.image_size)
                yield Split(images_NHWC, labels_N[start : start + step][good])


STL10 = Stl10(
    Download("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb"),
    {
        "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "5a34089d4802c674881badbb80307741",
        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    },
)
