"""Decides which classes a folder of Parquet files has, and the class of every row.

Legend: N rows of a file, C classes, K different labels; a key stands for a label (see `label_keys`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.data.catalog import KNOWN_DATASETS
from trainables.data.sources.class_names import Metadata, parquet_class_names
from trainables.data.sources.image_source import Request
from trainables.data.sources.label_keys import Keys, label_keys
from trainables.data.sources.labels import Labels
from trainables.errors import DataError

_CORRECT = "Correct the row, or `class_names` in the file's metadata"
_TRAIN = "Give the class training images, or remove it from the test images"
_SHOWN = 5


class LabelColumn(NamedTuple):
    """One file's labels, and what its metadata says about them."""

    name: str
    labels: Labels
    metadata: Metadata
    trains: bool
    """Whether the file's images are training images."""


class Classes(NamedTuple):
    """The classes of a data set, and the class of every row of every file."""

    names: tuple[str, ...]
    of_rows: Mapping[Path, np.ndarray]
    """int64 (N): index into the names; -1 where the label is unusable."""


class _Table(NamedTuple):
    """Which label stands for which class."""

    names: tuple[str, ...]
    keys_C: np.ndarray
    """int64: the key of each class's label; -1 if no label names the class."""
    trained_C: np.ndarray
    """bool: a training image has the label."""

    def lookup(self, keys_N: np.ndarray) -> np.ndarray:
        """Class of each key, int64; -1 for a key of no class."""
        if not len(self.keys_C):
            return np.full(len(keys_N), -1, np.int64)
        order_C = np.argsort(self.keys_C)
        place_N = np.minimum(np.searchsorted(self.keys_C[order_C], keys_N), len(order_C) - 1)
        class_N = order_C[place_N]
        return np.where(self.keys_C[class_N] == keys_N, class_N, -1)


def assign_classes(name: str, columns: Mapping[Path, LabelColumn], request: Request) -> Classes:
    """Takes the classes from the metadata, the catalogue or the training labels; adds unusable rows to the bad rows.

    With `Choices.relabel`, leaves out classes without training images. Raises DataError where files disagree, and where
    labels leave gaps that no names fill.
    """
    metadata = {path: column.metadata for path, column in columns.items()}
    names = parquet_class_names(name, metadata, {path: column.name for path, column in columns.items()})
    keys = label_keys({path: column.labels for path, column in columns.items()}, names, request.notes)
    declared = _declared(name, names, keys)
    table = _table(declared, columns, keys, request)
    known = KNOWN_DATASETS.get(name)
    if known and len(table.names) != known.num_classes and not any(b"subset" in found for found in metadata.values()):
        raise DataError(
            f"the labels give {len(table.names)} classes, {name} has {known.num_classes}. Prepare it under another "
            "name; or, where it is a part, say which in the metadata 'subset'."
        )
    of_rows = {}
    for path, column in columns.items():
        class_N = np.where(column.labels.usable_N, table.lookup(keys.of_rows[path]), -1)
        if not column.trains:
            class_N[~np.append(table.trained_C, False)[class_N]] = -1
        for row in np.flatnonzero(class_N < 0).tolist():
            unread = column.labels.unusable(row)
            why, advice = (unread, _CORRECT) if unread else _stray(int(keys.of_rows[path][row]), keys, declared)
            request.bad_rows.add(f"{path}, row {row}", why, advice)
        of_rows[path] = class_N
    return Classes(table.names, of_rows)


def _declared(name: str, names: tuple[str, ...] | None, keys: Keys) -> dict[int, str] | None:
    """Key -> class name, from the metadata or the catalogue; None if only the labels say which classes there are."""
    if names is None and name in KNOWN_DATASETS and keys.vocabulary is None:
        names = tuple(map(str, range(KNOWN_DATASETS[name].num_classes)))
    if names is None:
        return None
    if keys.vocabulary is None:
        return dict(enumerate(names))
    places = {text: key for key, text in enumerate(keys.vocabulary)}
    # A class that no label names gets a key that no label has.
    return {places.get(text, -1 - index): text for index, text in enumerate(names)}


def _table(
    declared: Mapping[int, str] | None, columns: Mapping[Path, LabelColumn], keys: Keys, request: Request
) -> _Table:
    trained_K = _trained(columns, keys)
    if declared is None:
        if not request.choices.relabel and keys.vocabulary is None:
            _refuse_gaps(trained_K, next(iter(columns)).parent)
        declared = {key: keys.shown(key) for key in trained_K.tolist()}
        request.notes.add(_naming(list(declared.values()), keys, request.choices.relabel))
    keys_C = np.array(list(declared), np.int64)
    trained_C = np.isin(keys_C, trained_K)
    table = _Table(tuple(declared.values()), keys_C, trained_C)
    if not request.choices.relabel or trained_C.all():
        return table
    kept, dropped = ([table.names[i] for i in np.flatnonzero(mask_C)] for mask_C in (trained_C, ~trained_C))
    request.notes.add(f"classes without training images left out, as --relabel asks: {_some(dropped)}")
    return _Table(tuple(kept), keys_C[trained_C], trained_C[trained_C])


def _trained(columns: Mapping[Path, LabelColumn], keys: Keys) -> np.ndarray:
    """Keys of the training labels (K), ascending, without negative ones."""
    used = [np.unique(keys.of_rows[path][column.labels.usable_N]) for path, column in columns.items() if column.trains]
    trained_K = np.unique(np.concatenate(used))
    return trained_K[trained_K >= 0]


def _refuse_gaps(trained_K: np.ndarray, folder: Path) -> None:
    """DataError unless the labels are 0 to K - 1: a class without training images cannot be meant."""
    if not len(trained_K) or int(trained_K[-1]) == len(trained_K) - 1:
        return
    missing = int(trained_K[-1]) + 1 - len(trained_K)
    raise DataError(
        f"{folder}: labels must be 0, 1, 2, ... without gaps; the training labels are {_some(trained_K)}, so "
        f"{missing:,} of {int(trained_K[-1]) + 1:,} classes would have no training image. Number the labels from 0, or "
        f"name all classes in the metadata 'class_names', or number the {len(trained_K):,} labels that occur from 0 "
        "with --relabel."
    )


def _naming(names: list[str], keys: Keys, relabel: bool) -> str:
    if keys.vocabulary is not None:
        return f"labels are text; they number {len(names)} classes in alphabetical order: {_some(names)}"
    if relabel:
        return f"the labels that occur are numbered from 0, and the classes are named by them: {_some(names)}"
    return f"the files name no classes, so the classes are called by their numbers: {_some(names)}"


def _stray(key: int, keys: Keys, declared: Mapping[int, str] | None) -> tuple[str, str]:
    """Why a label that can be read stands for no class, and what to do."""
    label = keys.shown(key)
    if keys.vocabulary is None and key < 0:
        return f"label {label} is negative; labels are 0, 1, 2, ..., and -1 often marks an unlabelled image", _CORRECT
    if declared is None or key in declared:
        return f"label {label!r} is of a class without training images", _TRAIN
    if keys.vocabulary is not None:
        return f"label {label!r} is none of the {len(declared)} class names", _CORRECT
    return f"label {label} is out of range; with {len(declared)} classes labels are 0 to {len(declared) - 1}", _CORRECT


def _some(words: Sequence[object] | np.ndarray) -> str:
    more = f" and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    return ", ".join(map(str, words[:_SHOWN])) + more
