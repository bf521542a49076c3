"""Images for measurements: a prepared data set if there is one, otherwise random pixels in a store of the same form."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainables.data.arrow_store import Split, Store, list_prepared, open_store, store_folder
from trainables.data.catalog import known_dataset
from trainables.data.sources.image_source import ImageSource
from trainables.data.writer import Findings, write_store


def cifar10_or_random(data_root: Path, scratch: Path, num_train: int, num_test: int) -> tuple[Store, Path]:
    """CIFAR-10 if it is prepared under `data_root`, otherwise random images under `scratch`. Also returns the root of
    the store."""
    if any((meta.name, meta.image_size) == ("cifar10", 32) for meta in list_prepared(data_root)):
        return open_store(data_root, "cifar10", 32), data_root
    return random_store(scratch, "cifar10", num_train, num_test), scratch


def random_store(data_root: Path, name: str, num_train: int, num_test: int, side: int = 32) -> Store:
    """A store of random pixels with a known data set's name and classes."""
    sizes = {"train": num_train, "test": num_test}
    classes = known_dataset(name).class_names or tuple(str(i) for i in range(known_dataset(name).num_classes))

    def chunks(split: str) -> Iterator[Split]:
        rng = np.random.default_rng(len(split))
        images_NHWC = rng.integers(0, 256, (sizes[split], side, side, 3), dtype=np.uint8)
        yield Split(images_NHWC, np.arange(sizes[split], dtype=np.int64) % len(classes))

    folder = store_folder(data_root, name, side)
    folder.mkdir(parents=True)
    source = ImageSource(classes, "random pixels", sizes, chunks)
    write_store(folder, name, side, source, lambda done: None, Findings((), tuple))
    return open_store(data_root, name, side)
