"""Writes one prepared data set into an empty folder, with one piece of it in memory at a time."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from trainables.data.arrow_store import META_FILE, SPLITS, Meta, Split, SplitFile, begin_digest, hash_array
from trainables.data.growing_array import GrowingArray, PageReleasingFile
from trainables.data.sources.image_source import ImageSource
from trainables.errors import DataError
from trainables.runtime.atomic_file import sync

_COLUMNS = {"images_NHWC": "image", "labels_N": "label", "masks_NHW": "mask", "groups_N": "group"}


class Findings(NamedTuple):
    """What reading a source brings up; complete once all images are read."""

    skipped: Sequence[str]
    """The rows left out."""
    notes: Callable[[], Sequence[str]]
    """What else the user should know; raises DataError if the data set cannot be used."""

    def all(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return tuple(self.skipped), tuple(self.notes())


def write_store(
    folder: Path,
    name: str,
    image_size: int,
    source: ImageSource,
    advance: Callable[[int], None],
    findings: Findings,
) -> Meta:
    """Spools, joins and hashes a source's arrays; every file is on the disk when this returns.

    Calls `advance` with the number of images of each piece. The digest is in the names of the Arrow files, so that two
    versions of a data set can be in one folder.
    """
    digest = begin_digest(image_size, source.class_names)
    written = {split: _write_split(folder, split, source.chunks(split), advance, digest) for split in SPLITS}
    total = digest.hexdigest()
    files = {split: entry._replace(file=f"{split}-{total[:16]}.arrow") for split, entry in written.items()}
    for split, entry in written.items():
        (folder / entry.file).rename(folder / files[split].file)
    meta = Meta(name, image_size, source.class_names, total, source.description, files, *findings.all())
    (folder / META_FILE).write_text(meta.to_json(), encoding="utf-8")
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    return meta


def _write_split(
    folder: Path, split: str, chunks: Iterator[Split], advance: Callable[[int], None], digest: "hashlib._Hash"
) -> SplitFile:
    """Writes one split. Collects the pieces in spool files first, because one Arrow array needs one record batch."""
    spools: dict[str, GrowingArray] = {}
    path = folder / f"{split}.arrow"
    num_images = 0
    with ExitStack() as stack:
        for chunk in chunks:
            for field, array in chunk._asdict().items():
                if array is None:
                    continue
                if field not in spools:
                    spool_file = stack.enter_context((folder / f"{split}.{field}.spool").open("w+b"))
                    spools[field] = GrowingArray(spool_file, array)
                spools[field].append(array)
            num_images += len(chunk.labels_N)
            advance(len(chunk.labels_N))
        if not num_images:
            raise DataError(f"the {split} split holds no usable images; give it some and prepare again.")
        for field in Split._fields:
            if field in spools:
                hash_array(digest, split, field, spools[field].array(), spools[field].release_pages)
        batch = pa.record_batch({_COLUMNS[field]: _arrow(spool.array()) for field, spool in spools.items()})
        with (
            closing(PageReleasingFile(path, list(spools.values()))) as file,
            pa.PythonFile(file, "w") as sink,
            pa.ipc.new_file(sink, batch.schema) as out,
        ):
            out.write_batch(batch)
    for field in spools:
        (folder / f"{split}.{field}.spool").unlink()
    return SplitFile(path.name, num_images, path.stat().st_size)


def _arrow(array: np.ndarray) -> pa.Array:
    """An array (N, ...) as an Arrow column over the same memory: numbers as they are, images and masks as bytes."""
    kind = pa.from_numpy_dtype(array.dtype) if array.ndim == 1 else pa.binary(int(np.prod(array.shape[1:])))
    return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(array)])
