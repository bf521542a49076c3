"""Images from Parquet: columns `image` (encoded bytes, plain or in a struct) and `label` (whole number)."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from trainables.data.catalog import KNOWN
from trainables.data.sources.source import Source
from trainables.data.store import SPLITS, Split
from trainables.errors import DataError

MAX_PIXELS = 50_000_000
"""Larger images are refused before they are decoded: a few kB can claim gigapixels."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_ROWS = 256
_DAMAGED = (pa.ArrowException, OSError)


def parquet_files(folder: Path, split: str) -> list[Path]:
    """`train.parquet`, or the shards `train-*.parquet` in the order of their names; empty where there are none."""
    whole = folder / f"{split}.parquet"
    return [whole] if whole.is_file() else sorted(folder.glob(f"{split}-*.parquet"))


def parquet_source(name: str, folder: Path, image_size: int) -> Source:
    """Checks files, columns and all labels of a folder; the images are decoded as they are asked for.

    Class names come from the files' metadata (`class_names`, a JSON list), else from the catalogue, else they are
    the label numbers. Images are resized bilinearly to `image_size` squares.
    """
    files = {split: parquet_files(folder, split) for split in SPLITS}
    for split, paths in files.items():
        if not paths:
            raise DataError(f"{folder} has no {split}.parquet and no {split}-*.parquet; put the {split} images there.")
    opened = {path: _open(path) for paths in files.values() for path in paths}
    labels = {path: _labels(path, file) for path, file in opened.items()}
    class_names = _class_names(name, opened, labels)
    for path, labels_N in labels.items():
        bad = np.flatnonzero((labels_N < 0) | (labels_N >= len(class_names)))
        if bad.size:
            raise DataError(
                f"{path}, row {bad[0]}: label {labels_N[bad[0]]} is out of range; with {len(class_names)} classes "
                f"labels are 0 to {len(class_names) - 1}. Correct the row, or `class_names` in the file's metadata."
            )
    num_images = {split: sum(len(labels[path]) for path in paths) for split, paths in files.items()}
    for split, num in num_images.items():
        if not num:
            raise DataError(f"{files[split][0]} holds no rows; the {split} split needs images.")

    def chunks(split: str) -> Iterator[Split]:
        for path in files[split]:
            yield from _images(path, opened[path], labels[path], image_size)

    return Source(class_names, f"parquet {folder.resolve()}", num_images, chunks)


def _open(path: Path) -> pq.ParquetFile:
    try:
        # Not pre-buffered: a whole row group's images would be held at once.
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
    return file


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _labels(path: Path, file: pq.ParquetFile) -> np.ndarray:
    try:
        column = file.read(columns=["label"]).column("label")
    except _DAMAGED as error:
        raise DataError(f"{path}: column 'label' cannot be read: {error}. Fetch or write the file again.") from error
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise DataError(f"{path}, row {row}: the label is null. Give it a label, or drop the row.")
    labels_N: np.ndarray = column.to_numpy().astype(np.int64)
    return labels_N


def _class_names(
    name: str, opened: Mapping[Path, pq.ParquetFile], labels: Mapping[Path, np.ndarray]
) -> tuple[str, ...]:
    told: dict[tuple[str, ...], Path] = {}
    for path, file in opened.items():
        text = (file.schema_arrow.metadata or {}).get(b"class_names")
        if text is not None:
            told.setdefault(_parse_names(path, text), path)
    if len(told) > 1:
        first, second = list(told.values())[:2]
        raise DataError(f"{first} and {second} name different classes in their metadata 'class_names'; make them one.")
    if told:
        return next(iter(told))
    if name in KNOWN:
        return KNOWN[name].class_names or tuple(map(str, range(KNOWN[name].num_classes)))
    return tuple(map(str, range(1 + max((int(found.max()) for found in labels.values() if found.size), default=0))))


def _parse_names(path: Path, text: bytes) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(item, str) for item in names):
        raise DataError(f"{path}: metadata 'class_names' is not a JSON list of names, one for each label from 0.")
    return tuple(names)


def _images(path: Path, file: pq.ParquetFile, labels_N: np.ndarray, image_size: int) -> Iterator[Split]:
    column = "image.bytes" if pa.types.is_struct(file.schema_arrow.field("image").type) else "image"
    row = 0
    try:
        for batch in file.iter_batches(batch_size=_ROWS, columns=[column], use_threads=False):
            records = batch.column(0)
            if column == "image.bytes":
                records = records.flatten()[0]
            yield Split(_decode(path, row, records, image_size), labels_N[row : row + len(records)])
            row += len(records)
    except _DAMAGED as error:
        raise DataError(
            f"{path}: the images after row {row} cannot be read: {error}. Fetch or write the file again."
        ) from error


def _decode(path: Path, first_row: int, records: Sequence[Any], image_size: int) -> np.ndarray:
    images_NHWC = np.empty((len(records), image_size, image_size, 3), np.uint8)
    for i, record in enumerate(records):
        try:
            images_NHWC[i] = decode_image(record.as_py(), image_size)
        except ValueError as error:
            raise DataError(f"{path}, row {first_row + i}: {error}. Replace the image, or drop the row.") from error
    return images_NHWC


def decode_image(encoded: bytes | None, image_size: int) -> np.ndarray:
    """One encoded image as uint8 RGB (image_size, image_size, 3); ValueError says why it cannot be used."""
    if not encoded:
        raise ValueError("the image is null" if encoded is None else "the image has no bytes")
    try:
        # Only formats decoded inside the process and without external programs.
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"the image claims {width} x {height} pixels, allowed are {MAX_PIXELS:,}")
            if image.mode not in _MODES:
                raise ValueError(f"the image has mode {image.mode}; allowed: 8-bit grey or colour")
            image.load()
            rgb = image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise ValueError(f"the image is too large: {error}") from error
    except (OSError, SyntaxError, EOFError, MemoryError) as error:
        raise ValueError(f"the image cannot be decoded ({error}); allowed: {', '.join(_FORMATS)}") from error
    if rgb.size != (image_size, image_size):
        rgb = rgb.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)
