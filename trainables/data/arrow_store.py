"""Reads prepared data sets: Arrow files of uint8 arrays, memory-mapped read-only, shared by all trials on a node.

    DATA_ROOT/cifar10-32/meta.json                 names the files and carries the digest
                        /train-<digest>.arrow      one record batch: image, label [, mask] [, group]
                        /test-<digest>.arrow

Legend: N images, H = W image size, C = 3 channels.
"""

import hashlib
import json
import math
import mmap
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from trainables.data.catalog import KNOWN_DATASETS, known_dataset, prepare_command
from trainables.errors import ConfigError, DataError
from trainables.runtime.progress import advance

FORMAT_VERSION = 1
META_FILE = "meta.json"
SPLITS = ("train", "test")
NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}")
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_HASHED_BYTES = 2**24


class Split(NamedTuple):
    """Arrays of one split, or of a piece of it before it is written."""

    images_NHWC: np.ndarray
    """uint8, RGB."""
    labels_N: np.ndarray
    """int64, index into the class names."""
    masks_NHW: np.ndarray | None = None
    """uint8: 1 on the object, 0 elsewhere."""
    groups_N: np.ndarray | None = None
    """int64: images of one group share source material, so validation takes whole groups."""


class SplitFile(NamedTuple):
    """The meta file's entry for one split's Arrow file."""

    file: str
    num_images: int
    num_bytes: int


@dataclass(frozen=True)
class Meta:
    """A prepared data set's description, stored beside its arrays."""

    name: str
    image_size: int
    class_names: tuple[str, ...]
    digest: str
    """sha256 over class names, image size and the bytes of all arrays."""
    source: str
    splits: Mapping[str, SplitFile]
    skipped: tuple[str, ...] = ()
    """Unusable rows of the source that were left out: file, row and reason."""
    notes: tuple[str, ...] = ()
    """What else was left out, added or guessed when the data set was prepared."""

    @property
    def num_images(self) -> dict[str, int]:
        return {split: entry.num_images for split, entry in self.splits.items()}

    def to_json(self) -> str:
        fields = asdict(self) | {"splits": {name: entry._asdict() for name, entry in self.splits.items()}}
        if not self.notes:
            del fields["notes"]
        return json.dumps({"format_version": FORMAT_VERSION, **fields}, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> "Meta":
        """The inverse of `to_json`; raises ValueError, KeyError or TypeError for any other text."""
        fields: dict[str, Any] = json.loads(text)
        version = fields.pop("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"its format version is {version!r}, this program reads {FORMAT_VERSION}")
        splits = {name: SplitFile(**entry) for name, entry in fields.pop("splits").items()}
        if tuple(splits) != SPLITS:
            raise ValueError(f"its splits are {list(splits)}, not {list(SPLITS)}")
        if stray := [entry.file for entry in splits.values() if not _FILE.fullmatch(entry.file)]:
            # These names are used to replace and remove files.
            raise ValueError(f"it names the file {stray[0][:80]!r}, which is not a plain name")
        lists = {key: tuple(fields.get(key, ())) for key in ("skipped", "notes")}
        lists["class_names"] = tuple(fields["class_names"])
        texts = [
            fields["name"],
            fields["digest"],
            fields["source"],
            *(text for texts in lists.values() for text in texts),
        ]
        numbers = [fields["image_size"], *(number for entry in splits.values() for number in entry[1:])]
        if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
            raise ValueError("one of its values is of another kind")
        return Meta(**fields | lists | {"splits": splits})


@dataclass(frozen=True)
class Store:
    """An opened data set; its arrays are read-only views of the mapped files."""

    name: str
    image_size: int
    class_names: tuple[str, ...]
    digest: str
    splits: Mapping[str, Split]
    source: str
    notes: tuple[str, ...] = ()
    """What was left out, added or guessed when the data set was prepared."""

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def store_folder(data_root: Path, name: str, image_size: int) -> Path:
    """The folder of a data set; ConfigError for a name that could lead to another folder."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"data set name {name[:80]!a}; allowed: 1 to 64 letters, digits, '.', '_' and '-'.")
    return data_root / f"{name}-{image_size}"


def open_store(data_root: Path, name: str, image_size: int, verify: bool = False) -> Store:
    """Maps a prepared data set; `verify` also reads every byte and recomputes the digest.

    Raises DataError where it is not prepared, truncated or altered; ConfigError for a name that is neither prepared
    nor known.
    """
    folder = store_folder(data_root, name, image_size)
    meta = read_meta(folder)
    if meta is None:
        raise _not_prepared(data_root, name, image_size)
    try:
        splits = _map_splits(folder, meta)
    except FileNotFoundError:
        # The data set was prepared again after the meta file was read: the new meta file names other files.
        meta = read_meta(folder) or meta
        splits = _map_splits(folder, meta, missing_is_damage=True)
    if verify and _digest(meta, splits) != meta.digest:
        raise _damaged(folder, meta.name, meta.image_size, "its bytes no longer give the digest of the meta file")
    arrays = {name: mapped.split for name, mapped in splits.items()}
    return Store(meta.name, meta.image_size, meta.class_names, meta.digest, arrays, meta.source, meta.notes)


def list_prepared(data_root: Path) -> tuple[Meta, ...]:
    """The metadata of every prepared data set under a folder, by name and size; DataError for a damaged one."""
    metas = (read_meta(path.parent) for path in sorted(data_root.glob(f"*/{META_FILE}")) if path.parent.name[0] != ".")
    return tuple(meta for meta in metas if meta is not None)


def read_meta(folder: Path) -> Meta | None:
    """The meta file of a prepared data set, None if there is none; DataError for an unreadable one."""
    path = folder / META_FILE
    name, _, size = folder.name.rpartition("-")
    try:
        meta = Meta.from_json(path.read_text(encoding="utf-8"))
        if (meta.name, str(meta.image_size)) != (name, size):
            raise ValueError(f"it describes '{meta.name}' at size {meta.image_size}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise _damaged(path, name, int(size) if size.isdigit() else 0, f"{error}") from error
    return meta


def begin_digest(image_size: int, class_names: tuple[str, ...]) -> "hashlib._Hash":
    """Starts a data set's sha256 with all but its arrays; add these with `hash_array`, by split, then by field."""
    return hashlib.sha256(json.dumps([FORMAT_VERSION, image_size, class_names]).encode())


def hash_array(
    digest: "hashlib._Hash", split: str, field: str, array: np.ndarray, release_pages: Callable[[], None]
) -> None:
    """Adds an array's name, shape and bytes; calls `release_pages` after each piece, to free the pages read so far."""
    digest.update(json.dumps([split, field, array.dtype.str, array.shape]).encode())
    content = array.data.cast("B")
    for start in range(0, len(content), _HASHED_BYTES):
        digest.update(content[start : start + _HASHED_BYTES])
        release_pages()
        advance()


class _Mapped(NamedTuple):
    split: Split
    pages: mmap.mmap

    def release_pages(self) -> None:
        self.pages.madvise(mmap.MADV_DONTNEED)


def _digest(meta: Meta, splits: Mapping[str, _Mapped]) -> str:
    digest = begin_digest(meta.image_size, meta.class_names)
    for name in SPLITS:
        for field, array in splits[name].split._asdict().items():
            if array is not None:
                hash_array(digest, name, field, array, splits[name].release_pages)
    return digest.hexdigest()


def _map_splits(folder: Path, meta: Meta, missing_is_damage: bool = False) -> dict[str, _Mapped]:
    """Maps the files that a meta file names; DataError for a damaged file.

    Raises FileNotFoundError for a missing file, or DataError with `missing_is_damage`.
    """
    splits = {}
    for split, entry in meta.splits.items():
        path = folder / entry.file
        try:
            splits[split] = _map_split(path, meta, entry)
        except FileNotFoundError as error:
            if not missing_is_damage:
                raise
            raise _damaged(path, meta.name, meta.image_size, "the meta file names it, but it is not there") from error
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise _damaged(path, meta.name, meta.image_size, f"{error}") from error
    return splits


def _map_split(path: Path, meta: Meta, entry: SplitFile) -> _Mapped:
    num_bytes = path.stat().st_size
    if num_bytes != entry.num_bytes:
        raise ValueError(f"it has {num_bytes:,} bytes, prepared were {entry.num_bytes:,}")
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    reader = pa.ipc.open_file(pa.py_buffer(pages))
    if reader.num_record_batches != 1:
        raise ValueError(f"it holds {reader.num_record_batches} record batches, not one")
    batch = reader.get_batch(0)
    if batch.num_rows != entry.num_images:
        raise ValueError(f"it holds {batch.num_rows} images, prepared were {entry.num_images}")
    num, side, columns = entry.num_images, meta.image_size, set(batch.schema.names)
    labels_N = _column(batch, "label", np.int64, (num,))
    if num and not 0 <= int(labels_N.min()) <= int(labels_N.max()) < len(meta.class_names):
        raise ValueError(f"it holds labels outside 0 to {len(meta.class_names) - 1}")
    split = Split(
        _column(batch, "image", np.uint8, (num, side, side, 3)),
        labels_N,
        _column(batch, "mask", np.uint8, (num, side, side)) if "mask" in columns else None,
        _column(batch, "group", np.int64, (num,)) if "group" in columns else None,
    )
    return _Mapped(split, pages)


def _column(batch: Any, name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A column's mapped bytes as an array of a given shape, without a copy."""
    column = batch.column(name)
    count = math.prod(shape)
    data = column.buffers()[1]
    if column.offset or column.null_count or (data.size if data else 0) < count * np.dtype(dtype).itemsize:
        raise ValueError(f"its column '{name}' does not hold {shape} values of {np.dtype(dtype).name}")
    return np.frombuffer(data if data else b"", dtype=dtype, count=count).reshape(shape)


def _not_prepared(data_root: Path, name: str, image_size: int) -> DataError:
    sizes = [str(meta.image_size) for meta in list_prepared(data_root) if meta.name == name]
    if not sizes and name not in KNOWN_DATASETS:
        known_dataset(name)
    others = f" (it is for data.image_size {', '.join(sizes)})" if sizes else ""
    return DataError(
        f"data set '{name}' is not prepared at image size {image_size} under {data_root}{others}; "
        f"prepare it with: {prepare_command(name, image_size)}"
    )


def _damaged(path: Path, name: str, image_size: int, why: str) -> DataError:
    return DataError(
        f"prepared data {path} is damaged: {why}. Remove {path if path.is_dir() else path.parent} "
        f"and prepare it again with: {prepare_command(name, image_size)}"
    )
