"""Reads images from Parquet: columns `image` (encoded bytes, plain or in a struct) and `label` (whole number)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.arrow_store import SPLITS, Split
from trainables.data.sources.bad_rows import BadRows, good_labels
from trainables.data.sources.class_names import parquet_class_names
from trainables.data.sources.image_source import ImageSource, Request, rows_per_piece
from trainables.data.sources.pixels import decode_image
from trainables.errors import DataError

MAX_ROWS = 50_000_000
_ROWS = 256
_BATCH_BYTES = 2**28
"""Encoded images in memory at a time, estimated from the file's metadata."""
_DAMAGED = (pa.ArrowException, OSError)


def parquet_files(folder: Path, split: str) -> list[Path]:
    """`train.parquet`, or the shards `train-*.parquet` sorted by name; empty if there are none."""
    whole = folder / f"{split}.parquet"
    return [whole] if whole.is_file() else sorted(folder.glob(f"{split}-*.parquet"))


def parquet_source(name: str, folder: Path, request: Request) -> ImageSource:
    """Checks files, columns and all labels of a folder; decodes the images later, piece by piece.

    Crops images if a file's metadata has `bounding_boxes` (JSON: path to left, top, width and height in pixels), and
    resizes them bilinearly to squares. With `Request.extra`, also reads the split `extra`.
    """
    parts = {split: parquet_files(folder, split) for split in (*SPLITS, *(("extra",) if request.extra else ()))}
    for part, paths in parts.items():
        if not paths:
            raise DataError(f"{folder} has no {part}.parquet and no {part}-*.parquet; put the {part} images there.")
    shards = {path: _shard(path) for paths in parts.values() for path in paths}
    class_names = parquet_class_names(
        name,
        {path: shard.metadata for path, shard in shards.items()},
        {path: shard.labels_N for path, shard in shards.items()},
    )
    good = {path: _good(shard, len(class_names), request.bad_rows) for path, shard in shards.items()}
    files = {split: parts[split] + (parts.get("extra", []) if split == "train" else []) for split in SPLITS}
    num_images = {split: sum(int(good[path].sum()) for path in paths) for split, paths in files.items()}
    for split, num in num_images.items():
        if not num:
            raise DataError(f"{files[split][0]} holds no usable rows; the {split} split needs images.")

    def chunks(split: str) -> Iterator[Split]:
        for path in files[split]:
            yield from _images(shards[path], good[path], request)

    return ImageSource(class_names, f"parquet {folder.resolve()}", num_images, chunks)


class _Shard(NamedTuple):
    """One file with checked columns."""

    path: Path
    file: pq.ParquetFile
    metadata: Mapping[bytes, bytes]
    labels_N: np.ndarray
    """int64; 0 where the label is null."""
    null_N: np.ndarray
    """bool: the label is null."""
    boxes: Mapping[str, Sequence[float]] | None
    """Path of an image -> its box; None: images are not cropped."""


def _shard(path: Path) -> _Shard:
    try:
        # Without pre-buffering, which would hold all images of a row group in memory.
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
        schema = file.schema_arrow
    except _DAMAGED as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}. Fetch or write it again.") from error
    for column, kind in (("image", "encoded bytes, or a struct with the field 'bytes'"), ("label", "whole numbers")):
        if column not in schema.names:
            found = ", ".join(schema.names) or "none"
            raise DataError(f"{path} has no column '{column}' ({kind}); its columns: {found}.")
        given = schema.field(column).type
        if not (_holds_bytes(given) if column == "image" else pa.types.is_integer(given)):
            raise DataError(f"{path}: column '{column}' is of type {given}; it must hold {kind}.")
    # A file of a few kB can declare billions of equal labels.
    if max(file.metadata.num_rows, sum(_group_rows(file))) > MAX_ROWS:
        raise DataError(f"{path} claims {file.metadata.num_rows:,} rows, allowed are {MAX_ROWS:,}; split the file.")
    try:
        labels = file.read(columns=["label"]).column("label")
    except _DAMAGED as error:
        raise DataError(f"{path}: column 'label' cannot be read: {error}. Fetch or write the file again.") from error
    null_N = labels.is_null().to_numpy()
    labels_N = labels.fill_null(0).to_numpy().astype(np.int64)
    metadata = schema.metadata or {}
    return _Shard(path, file, metadata, labels_N, null_N, _boxes(path, schema.field("image").type, metadata))


def _group_rows(file: pq.ParquetFile) -> list[int]:
    return [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _boxes(path: Path, image: Any, metadata: Mapping[bytes, bytes]) -> dict[str, Sequence[float]] | None:
    if b"bounding_boxes" not in metadata:
        return None
    try:
        boxes = json.loads(metadata[b"bounding_boxes"])
    except (ValueError, RecursionError):
        boxes = None
    if not isinstance(boxes, dict) or not all(isinstance(box, list) for box in boxes.values()):
        raise DataError(f"{path}: metadata 'bounding_boxes' is not JSON of [left, top, width, height] by path.")
    if not pa.types.is_struct(image) or image.get_field_index("path") < 0:
        raise DataError(f"{path} has 'bounding_boxes' by path, but column 'image' is no struct with the field 'path'.")
    return boxes


def _good(shard: _Shard, num_classes: int, bad_rows: BadRows) -> np.ndarray:
    """Mask (N, bool) of the rows with a usable label."""
    for row in np.flatnonzero(shard.null_N):
        bad_rows.add(f"{shard.path}, row {row}", "the label is null", "Give it a label")
    advice = "Correct the row, or `class_names` in the file's metadata"
    good_N = good_labels(shard.labels_N, num_classes, lambda row: f"{shard.path}, row {row}", advice, bad_rows)
    usable_N: np.ndarray = good_N & ~shard.null_N
    return usable_N


def _images(shard: _Shard, good_N: np.ndarray, request: Request) -> Iterator[Split]:
    columns = ["image"]
    if pa.types.is_struct(shard.file.schema_arrow.field("image").type):
        columns = ["image.bytes", "image.path"] if shard.boxes is not None else ["image.bytes"]
    step = min(_ROWS, rows_per_piece(request.image_size), max(1, _BATCH_BYTES // _largest_row(shard.file)))
    row = 0
    try:
        for batch in shard.file.iter_batches(batch_size=step, columns=columns, use_threads=False):
            records: dict[str, Any] = {"bytes": batch.column(0)}
            if columns != ["image"]:
                fields = batch.column(0)
                records = dict(zip((field.name for field in fields.type), fields.flatten(), strict=True))
            yield _decode(shard, row, records, good_N, request)
            row += batch.num_rows
    except _DAMAGED as error:
        raise DataError(
            f"{shard.path}: the images after row {row} cannot be read: {error}. Fetch or write the file again."
        ) from error


def _largest_row(file: pq.ParquetFile) -> int:
    """Largest average number of bytes per row of any row group."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    return max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=1) or 1


def _decode(shard: _Shard, first_row: int, records: Mapping[str, Any], good_N: np.ndarray, request: Request) -> Split:
    images, labels = [], []
    for i, record in enumerate(records["bytes"]):
        row = first_row + i
        if not good_N[row]:
            continue
        try:
            box = None
            if shard.boxes is not None:
                path = records["path"][i].as_py()
                if path not in shard.boxes:
                    raise ValueError(f"metadata 'bounding_boxes' has none for {path!r}")
                box = shard.boxes[path]
            images.append(decode_image(record.as_py(), request.image_size, box))
            labels.append(shard.labels_N[row])
        except ValueError as error:
            request.bad_rows.add(f"{shard.path}, row {row}", f"{error}", "Replace the image, or drop the row")
    images_NHWC = np.array(images, np.uint8).reshape(-1, request.image_size, request.image_size, 3)
    return Split(images_NHWC, np.array(labels, np.int64))
