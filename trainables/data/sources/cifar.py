"""Reads CIFAR-10 and CIFAR-100 from their official Python batches.

The batches are pickles. Each is checked against its published MD5, then read by an unpickler that can build numpy
arrays and nothing else.
"""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy._core.multiarray import _reconstruct  # where numpy's own pickles find it

from trainables.data.arrow_store import Split
from trainables.data.catalog import KNOWN_DATASETS
from trainables.data.sources.archive import Layout
from trainables.data.sources.bad_rows import good_labels
from trainables.data.sources.checksum import check_md5
from trainables.data.sources.download import Download
from trainables.data.sources.image_source import ImageSource, Request, rows_per_piece
from trainables.data.sources.pixels import resize_images
from trainables.errors import DataError

SIDE_PX = 32


class Cifar(NamedTuple):
    """The files of one of the two data sets, with the MD5 that torchvision publishes for each."""

    title: str
    download: Download
    folder: str
    batches: Mapping[str, tuple[str, ...]]
    """Batches of each split, in order."""
    batch_images: Mapping[str, int]
    """Images in each batch of a split."""
    labels_key: str
    num_classes: int
    class_names: tuple[str, ...] | None
    """None: a file of the folder names them."""
    names_file: str | None
    names_key: str
    md5: Mapping[str, str]

    @property
    def layout(self) -> Layout:
        batches = tuple(name for names in self.batches.values() for name in names)
        return Layout(self.download.file, self.folder, batches + ((self.names_file,) if self.names_file else ()))

    def find(self, path: Path) -> Path | None:
        return self.layout.find(path)

    def source(self, place: Path, request: Request) -> ImageSource:
        """The batches in a found folder or archive; DataError for other files than the published ones."""
        folder = self.layout.unpacked(place, request.scratch)
        class_names = self._class_names(folder)

        def chunks(split: str) -> Iterator[Split]:
            for batch in self.batches[split]:
                yield from self._images(folder / batch, self.batch_images[split], request)

        num_images = {split: self.batch_images[split] * len(names) for split, names in self.batches.items()}
        return ImageSource(class_names, f"{self.folder} {place.resolve()}", num_images, chunks)

    def _class_names(self, folder: Path) -> tuple[str, ...]:
        if self.names_file is None:
            assert self.class_names is not None
            return self.class_names
        path = folder / self.names_file
        try:
            names = self._load(path)[self.names_key]
            if len(names) != self.num_classes or not all(isinstance(name, str) for name in names):
                raise ValueError(f"it names {len(names)} classes, {self.title} has {self.num_classes}")
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(path, error) from error
        return tuple(names)

    def _images(self, path: Path, num: int, request: Request) -> Iterator[Split]:
        batch = self._load(path)
        try:
            data, labels_N = batch["data"], np.asarray(batch[self.labels_key])
            if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != (num, 3 * SIDE_PX**2):
                raise ValueError(f"its 'data' is not uint8 of shape ({num}, {3 * SIDE_PX**2})")
            if labels_N.shape != (num,) or labels_N.dtype.kind != "i":
                raise ValueError(f"its '{self.labels_key}' are not {num} whole numbers")
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(path, error) from error
        good_N = good_labels(
            labels_N, self.num_classes, lambda row: f"{path}, row {row}", self.layout.advice[:-1], request.bad_rows
        )
        step = rows_per_piece(request.image_size)
        for start in range(0, num, step):
            good = good_N[start : start + step]
            images_NCHW = data[start : start + step][good].reshape(-1, 3, SIDE_PX, SIDE_PX)
            images_NHWC = resize_images(images_NCHW.transpose(0, 2, 3, 1), request.image_size)
            yield Split(images_NHWC, labels_N[start : start + step][good].astype(np.int64))

    def _load(self, path: Path) -> dict[str, Any]:
        """One pickled dictionary, its MD5 checked first."""
        check_md5(path, self.md5[path.name], self.layout.advice)
        try:
            with path.open("rb") as file:
                # As bytes, because decoding to text would copy all images.
                content = _ArraysOnly(file, encoding="bytes").load()
            return {_text(key): _texts(value) for key, value in content.items()}
        except Exception as error:
            # A malicious or damaged pickle may raise any exception.
            raise self._unreadable(path, error) from error

    def _unreadable(self, path: Path, error: Exception) -> DataError:
        return DataError(f"{path} is not a {self.title} batch: {error}. {self.layout.advice}")


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _texts(value: Any) -> Any:
    return [_text(item) for item in value] if isinstance(value, list) else value


class _ArraysOnly(pickle.Unpickler):
    """Refuses all names except the three that build a numpy array."""

    _ALLOWED: Mapping[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not part of an image batch") from None


CIFAR10 = Cifar(
    title="CIFAR-10",
    download=Download(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
    ),
    folder="cifar-10-batches-py",
    batches={"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
    batch_images={"train": 10_000, "test": 10_000},
    labels_key="labels",
    num_classes=10,
    class_names=KNOWN_DATASETS["cifar10"].class_names,
    names_file=None,
    names_key="label_names",
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)
CIFAR100 = Cifar(
    title="CIFAR-100",
    download=Download(
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
    ),
    folder="cifar-100-python",
    batches={"train": ("train",), "test": ("test",)},
    batch_images={"train": 50_000, "test": 10_000},
    labels_key="fine_labels",
    num_classes=100,
    class_names=None,
    names_file="meta",
    names_key="fine_label_names",
    md5={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)
