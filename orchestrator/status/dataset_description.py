"""Describes data sets: which are known and prepared, and what a prepared one holds (`aib data list` and `show`)."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from orchestrator.study.paths import data_root
from trainables.data.arrow_store import Store, list_prepared, open_store, read_meta, store_folder
from trainables.data.catalog import KNOWN_DATASETS, PARQUET, default_image_size
from trainables.data.prepare import check_image_size
from trainables.runtime.printable import printable_line

_MAX_CLASS_NAME = 48
"""Characters of a class name in a file name; a file name has at most 255 bytes."""


def list_datasets(root: Path) -> list[dict[str, Any]]:
    """The rows of `aib data list --json`: first the prepared data sets, then the other known ones."""
    prepared = list_prepared(data_root(root))
    rows: list[dict[str, Any]] = [
        {
            "dataset": meta.name,
            "image_size": meta.image_size,
            "prepared": True,
            "num_images": meta.num_images,
            "digest": meta.digest,
            "accepts": KNOWN_DATASETS[meta.name].accepts if meta.name in KNOWN_DATASETS else PARQUET,
        }
        for meta in prepared
    ]
    names = {meta.name for meta in prepared}
    rows += [
        {
            "dataset": known.name,
            "image_size": known.image_size,
            "prepared": False,
            "obtain": known.obtain,
            "accepts": known.accepts,
        }
        for known in KNOWN_DATASETS.values()
        if known.name not in names
    ]
    return rows


def show_dataset(root: Path, dataset: str, image_size: int | None, save: Path | None, count: int) -> dict[str, Any]:
    """The keys of `aib data show --json`; writes the first `count` test images into `save` if it is given.

    Raises an AIBError for an invalid image size and for a data set that is not prepared.
    """
    size = default_image_size(dataset) if image_size is None else image_size
    check_image_size(size)
    store = open_store(data_root(root), dataset, size)
    meta = read_meta(store_folder(data_root(root), dataset, size))
    return {
        "dataset": store.name,
        "image_size": store.image_size,
        "class_names": list(store.class_names),
        "digest": store.digest,
        "splits": {
            name: {
                "num_images": len(split.labels_N),
                "per_class": np.bincount(split.labels_N, minlength=store.num_classes).tolist(),
                "masks": split.masks_NHW is not None,
            }
            for name, split in store.splits.items()
        },
        "skipped": list(meta.skipped) if meta else [],
        "notes": list(store.notes),
        "saved": [] if save is None else _save_images(store, save, count),
    }


def _save_images(store: Store, folder: Path, count: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    test = store.splits["test"]
    saved = []
    for i in range(min(count, len(test.labels_N))):
        path = folder / f"{store.name}-{i:04d}-{_in_file_name(store.class_names[test.labels_N[i]])}.png"
        Image.fromarray(test.images_NHWC[i]).save(path)
        saved.append(str(path))
    return saved


def _in_file_name(class_name: str) -> str:
    """The class name without what a file name cannot contain or should not show; names such as `n/a` are allowed."""
    return re.sub(r"[/\\]", "-", printable_line(class_name))[:_MAX_CLASS_NAME]
