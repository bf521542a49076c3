"""Small real inputs for the data tests: encoded images, Parquet files, stores in memory."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainables.data.arrow_store import Split, Store, open_store, store_folder
from trainables.data.sources.bad_rows import BadRows
from trainables.data.sources.image_source import Choices, ImageSource, Request
from trainables.data.sources.notes import Notes
from trainables.data.writer import Findings, write_store


def request(scratch: Path, size: int = 32, skip: bool = False, **choices: Any) -> Request:
    """How sources are asked in these tests; `choices` are the fields of `Choices`."""
    return Request(size, scratch, BadRows(skip), Choices(**choices), Notes())


def pixels(num: int, side: int = 8, seed: int = 0) -> np.ndarray:
    """Random uint8 images (num, side, side, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (num, side, side, 3), dtype=np.uint8)


def encode(image: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **options)
    return out.getvalue()


STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: np.swapaxes(upright, 0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(np.swapaxes(upright, 0, 1), 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""EXIF orientation -> how a camera that is held so stores an upright image."""


def with_orientation(upright: np.ndarray, orientation: int, kind: str = "PNG") -> bytes:
    """An image file that shows `upright` to a program that heeds the EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    return encode(np.ascontiguousarray(STORED[orientation](upright)), kind, exif=exif, **options)


def write_parquet(
    path: Path, records: list[bytes | None], labels: list[Any], names: list[str] | None = None, plain: bool = False
) -> Path:
    """A Parquet file of the usual form: `image` as struct of bytes and path (or plain bytes), and `label`."""
    images = records if plain else [{"bytes": item, "path": f"{i}.png"} for i, item in enumerate(records)]
    kind = pa.binary() if plain else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": pa.array(labels)})
    if names is not None:
        table = table.replace_schema_metadata({"class_names": json.dumps(names)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=8)
    return path


def write_columns(path: Path, metadata: dict[str, str] | None = None, **columns: Any) -> Path:
    """A Parquet file of any columns; lists and Arrow arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def parquet_folder(folder: Path, num: int = 20, side: int = 8, names: list[str] | None = None) -> Path:
    """train.parquet with `num` images of two classes, test.parquet with half as many."""
    for seed, (split, count) in enumerate({"train": num, "test": num // 2}.items()):
        images = [encode(image) for image in pixels(count, side, seed)]
        write_parquet(folder / f"{split}.parquet", images, [i % 2 for i in range(count)], names)
    return folder


def store_of(labels: np.ndarray, groups: np.ndarray | None = None, num_test: int = 20) -> Store:
    """A store whose image i is filled with i % 256, with `labels` in its training split."""
    images = np.broadcast_to(
        (np.arange(len(labels)) % 256).astype(np.uint8)[:, None, None, None], (len(labels), 4, 4, 3)
    )
    num_classes = int(labels.max()) + 1
    test = Split(np.zeros((num_test, 4, 4, 3), np.uint8), np.arange(num_test, dtype=np.int64) % num_classes)
    names = tuple(map(str, range(num_classes)))
    return Store("toy", 4, names, "0" * 64, {"train": Split(images, labels, None, groups), "test": test}, "made here")


def write_prepared(root: Path, name: str, side: int, class_names: tuple[str, ...], num: int) -> Store:
    """A prepared data set of random images, `num` of each class in the training split and half as many for testing."""
    splits = {}
    for seed, (split, count) in enumerate({"train": num, "test": max(1, num // 2)}.items()):
        labels_N = np.tile(np.arange(len(class_names), dtype=np.int64), count)
        splits[split] = Split(pixels(len(labels_N), side, seed), labels_N)
    counts = {split: len(arrays.labels_N) for split, arrays in splits.items()}
    folder = store_folder(root, name, side)
    folder.mkdir(parents=True)
    source = ImageSource(class_names, "made here", counts, lambda split: iter([splits[split]]))
    write_store(folder, name, side, source, lambda _: None, Findings((), tuple))
    return open_store(root, name, side)


def real_data(name: str) -> Path:
    """A folder of real Parquet images under AIB_TEST_DATA; skips the test where there is none."""
    folder = Path(os.environ.get("AIB_TEST_DATA", "")) / name
    if "AIB_TEST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip(f"AIB_TEST_DATA holds no {name}")
    return folder
