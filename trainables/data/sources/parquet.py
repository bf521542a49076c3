"""Reads images from Parquet: a column of encoded images (plain bytes or a struct) and a column of labels."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.arrow_store import SPLITS, Split
from trainables.data.sources.classes import LabelColumn, assign_classes
from trainables.data.sources.image_source import ImageSource, Request, rows_per_piece
from trainables.data.sources.labels import KINDS, is_label_type, read_labels
from trainables.data.sources.parquet_files import find_files
from trainables.data.sources.pixels import decode_image
from trainables.errors import DataError

MAX_ROWS = 50_000_000
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img"), ("label", "fine_label", "labels")
"""Accepted names of the columns; of several in a file the first one is read."""
_ROWS = 256
_BATCH_BYTES = 2**28
"""Encoded images in memory at a time, estimated from the file's metadata."""
_DAMAGED = (pa.ArrowException, OSError)


def parquet_source(name: str, folder: Path, request: Request) -> ImageSource:
    """Checks files, columns and all labels of a folder; decodes the images later, piece by piece.

    Crops images if a file's metadata has `bounding_boxes` (JSON: path to left, top, width and height in pixels), and
    resizes them bilinearly to squares. With `Choices.extra`, also reads the split `extra`.
    """
    parts, notes = find_files(folder, request.choices)
    for note in notes:
        request.notes.add(note)
    shards = {path: _shard(path) for paths in parts.values() for path in paths}
    tests = set(parts["test"])
    columns = {path: _labels(shard, path not in tests) for path, shard in shards.items()}
    class_names, class_of_rows = assign_classes(name, columns, request)
    if unread := sorted({column for shard in shards.values() for column in shard.unread}):
        request.notes.add(f"columns that were not read: {', '.join(unread)}")
    files = {split: parts[split] + (parts.get("extra", []) if split == "train" else []) for split in SPLITS}
    num_images = {split: sum(int(np.sum(class_of_rows[path] >= 0)) for path in paths) for split, paths in files.items()}
    for split, num in num_images.items():
        if not num:
            raise DataError(f"{files[split][0]} holds no usable rows; the {split} split needs images.")

    def chunks(split: str) -> Iterator[Split]:
        for path in files[split]:
            yield from _images(shards[path], class_of_rows[path], request)

    return ImageSource(class_names, f"parquet {folder.resolve()}", num_images, chunks)


class _Shard(NamedTuple):
    """One file with checked columns."""

    path: Path
    file: pq.ParquetFile
    metadata: Mapping[bytes, bytes]
    image: str
    """Name of the column of images."""
    label: str
    unread: Sequence[str]
    """The other columns."""
    boxes: Mapping[str, Sequence[float]] | None
    """Path of an image -> its box; None: images are not cropped."""


def _shard(path: Path) -> _Shard:
    try:
        # Without pre-buffering, which would hold all images of a row group in memory.
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
        schema = file.schema_arrow
    except _DAMAGED as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}. Fetch or write it again.") from error
    image = _column(path, schema, IMAGE_COLUMNS, _holds_bytes, "encoded bytes, or a struct with the field 'bytes'")
    label = _column(path, schema, LABEL_COLUMNS, is_label_type, KINDS)
    # A file of a few kB can declare billions of equal labels.
    if max(file.metadata.num_rows, sum(_group_rows(file))) > MAX_ROWS:
        raise DataError(f"{path} claims {file.metadata.num_rows:,} rows, allowed are {MAX_ROWS:,}; split the file.")
    metadata = schema.metadata or {}
    boxes = _boxes(path, image, schema.field(image).type, metadata)
    unread = [column for column in schema.names if column not in (image, label)]
    return _Shard(path, file, metadata, image, label, unread, boxes)


def _column(path: Path, schema: pa.Schema, names: Sequence[str], fits: Callable[[Any], bool], kind: str) -> str:
    """The first of some names that is a column; DataError if none is, or if the column holds something else."""
    name = next((name for name in names if name in schema.names), None)
    if name is None:
        found = ", ".join(schema.names) or "none"
        others = " or ".join(f"'{other}'" for other in names[1:])
        raise DataError(f"{path} has no column '{names[0]}' ({kind}; also {others}); its columns: {found}.")
    given = schema.field(name).type
    if not fits(given):
        raise DataError(f"{path}: column '{name}' is of type {given}; it must hold {kind}.")
    return name


def _labels(shard: _Shard, trains: bool) -> LabelColumn:
    try:
        labels = read_labels(shard.path, shard.label)
    except _DAMAGED as error:
        raise DataError(
            f"{shard.path}: column '{shard.label}' cannot be read: {error}. Fetch or write the file again."
        ) from error
    return LabelColumn(shard.label, labels, shard.metadata, trains)


def _group_rows(file: pq.ParquetFile) -> list[int]:
    return [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _boxes(path: Path, column: str, image: Any, metadata: Mapping[bytes, bytes]) -> dict[str, Sequence[float]] | None:
    if b"bounding_boxes" not in metadata:
        return None
    try:
        boxes = json.loads(metadata[b"bounding_boxes"])
    except (ValueError, RecursionError):
        boxes = None
    if not isinstance(boxes, dict) or not all(isinstance(box, list) for box in boxes.values()):
        raise DataError(f"{path}: metadata 'bounding_boxes' is not JSON of [left, top, width, height] by path.")
    if not pa.types.is_struct(image) or image.get_field_index("path") < 0:
        raise DataError(
            f"{path} has 'bounding_boxes' by path, but column '{column}' is no struct with the field 'path'."
        )
    return boxes


def _images(shard: _Shard, class_N: np.ndarray, request: Request) -> Iterator[Split]:
    columns = [shard.image]
    if pa.types.is_struct(shard.file.schema_arrow.field(shard.image).type):
        fields = ("bytes", "path") if shard.boxes is not None else ("bytes",)
        columns = [f"{shard.image}.{field}" for field in fields]
    step = min(_ROWS, rows_per_piece(request.image_size), max(1, _BATCH_BYTES // _largest_row(shard.file)))
    row = 0
    try:
        for batch in shard.file.iter_batches(batch_size=step, columns=columns, use_threads=False):
            records: dict[str, Any] = {"bytes": batch.column(0)}
            if columns != [shard.image]:
                struct = batch.column(0)
                records = dict(zip((field.name for field in struct.type), struct.flatten(), strict=True))
            yield _decode(shard, row, records, class_N, request)
            row += batch.num_rows
    except _DAMAGED as error:
        raise DataError(
            f"{shard.path}: the images after row {row} cannot be read: {error}. Fetch or write the file again."
        ) from error


def _largest_row(file: pq.ParquetFile) -> int:
    """Largest average number of bytes per row of any row group."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    return max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=1) or 1


def _decode(shard: _Shard, first_row: int, records: Mapping[str, Any], class_N: np.ndarray, request: Request) -> Split:
    images, labels = [], []
    for i, record in enumerate(records["bytes"]):
        row = first_row + i
        if class_N[row] < 0:
            continue
        try:
            box = None
            if shard.boxes is not None:
                path = records["path"][i].as_py()
                if path not in shard.boxes:
                    raise ValueError(f"metadata 'bounding_boxes' has none for {path!r}")
                box = shard.boxes[path]
            images.append(decode_image(record.as_py(), request.image_size, box, request.notes.images))
            labels.append(class_N[row])
        except ValueError as error:
            request.bad_rows.add(f"{shard.path}, row {row}", f"{error}", "Replace the image, or drop the row")
    images_NHWC = np.array(images, np.uint8).reshape(-1, request.image_size, request.image_size, 3)
    return Split(images_NHWC, np.array(labels, np.int64))
