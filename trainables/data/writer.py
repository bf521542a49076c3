"""Writes one prepared data set into an empty folder, holding one piece of it in memory at a time."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trainables.data.sources.source import Source
from trainables.data.store import META_FILE, SPLITS, Meta, Split, SplitFile, array_digest, map_splits
from trainables.errors import DataError

_COLUMNS = {"images_NHWC": "image", "labels_N": "label", "masks_NHW": "mask", "groups_N": "group"}


def write_store(folder: Path, name: str, image_size: int, source: Source, advance: Callable[[int], None]) -> Meta:
    """Spools, joins and hashes a source's arrays; every file is on the disk when this returns.

    `advance` is told the number of images of each piece. The Arrow files carry the digest in their names, so that
    two versions of a data set can lie side by side.
    """
    written = {split: _write_split(folder, split, source.chunks(split), advance) for split in SPLITS}
    meta = Meta(name, image_size, source.class_names, "", source.description, written)
    digest = array_digest(image_size, source.class_names, map_splits(folder, meta, missing_is_damage=True))
    files = {split: entry._replace(file=f"{split}-{digest[:16]}.arrow") for split, entry in written.items()}
    for split, entry in written.items():
        (folder / entry.file).rename(folder / files[split].file)
    meta = replace(meta, digest=digest, splits=files)
    (folder / META_FILE).write_text(meta.to_json(), encoding="utf-8")
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    return meta


def sync(path: Path) -> None:
    """Makes a file's bytes, or a folder's names, last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_split(folder: Path, split: str, chunks: Iterator[Split], advance: Callable[[int], None]) -> SplitFile:
    """Arrow wants a split's rows in one batch for them to be one array; the pieces meet in spool files first."""
    shapes: dict[str, tuple[Any, ...]] = {}
    num_images = 0
    with ExitStack() as stack:
        spools: dict[str, Any] = {}
        for chunk in chunks:
            arrays = {_COLUMNS[field]: array for field, array in chunk._asdict().items() if array is not None}
            for column, array in arrays.items():
                if column not in spools:
                    spools[column] = stack.enter_context((folder / f"{split}.{column}.spool").open("w+b"))
                    shapes[column] = (array.dtype, array.shape[1:])
                spools[column].write(np.ascontiguousarray(array).data)
            num_images += len(chunk.labels_N)
            advance(len(chunk.labels_N))
        if not num_images:
            raise DataError(f"the {split} split holds no images; give it some and prepare again.")
        columns = {}
        for column, spool in spools.items():
            spool.flush()
            dtype, shape = shapes[column]
            columns[column] = _arrow(np.memmap(spool, dtype, "r", shape=(num_images, *shape)))
        path = folder / f"{split}.arrow"
        batch = pa.record_batch(columns)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as out:
            out.write_batch(batch)
    for column in spools:
        (folder / f"{split}.{column}.spool").unlink()
    return SplitFile(path.name, num_images, path.stat().st_size)


def _arrow(array: np.ndarray) -> pa.Array:
    """An array (N, ...) as an Arrow column over the same memory: numbers as they are, images and masks as bytes."""
    kind = pa.from_numpy_dtype(array.dtype) if array.ndim == 1 else pa.binary(int(np.prod(array.shape[1:])))
    return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(array)])
