"""Names the classes of a folder of Parquet files: from the files' metadata, or from the catalogue."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.data.catalog import KNOWN_DATASETS
from trainables.errors import DataError

Metadata = Mapping[bytes, bytes]
OWN, HUB = "class_names", "huggingface"
"""Metadata keys: a JSON list of names; and what the library `datasets` writes."""


def parquet_class_names(
    name: str, metadata: Mapping[Path, Metadata], label_columns: Mapping[Path, str]
) -> tuple[str, ...] | None:
    """Class names; index = label. None if neither the metadata nor the catalogue has them.

    DataError where files disagree, or have another number than a known data set. Accepts fewer classes than known if
    the metadata says under `subset` which they are.
    """
    named: dict[tuple[str, ...], tuple[Path, str]] = {}
    for path, entries in metadata.items():
        for key, names in (
            (OWN, _own(path, entries)),
            (HUB, _hub(path, entries, label_columns[path])),
        ):
            if names is not None:
                named.setdefault(names, (path, key))
    if len(named) > 1:
        (first, its_key), (second, other_key) = list(named.values())[:2]
        raise DataError(
            f"{first} (metadata '{its_key}') and {second} (metadata '{other_key}') name different classes, or the same "
            "in another order; give both the same names, and labels that follow them."
        )
    known = KNOWN_DATASETS.get(name)
    for names, (path, _) in named.items():
        wanted = known.num_classes if known else len(names)
        if len(names) > wanted or (len(names) < wanted and b"subset" not in metadata[path]):
            raise DataError(
                f"{path} names {len(names)} classes in its metadata, {name} has {wanted}. Prepare it under another "
                f"name; or, where it is a part of {name}, say which in the metadata 'subset'."
            )
        return names
    return known.class_names if known else None


def _own(path: Path, entries: Metadata) -> tuple[str, ...] | None:
    if OWN.encode() not in entries:
        return None
    names = _json(entries[OWN.encode()])
    if not _is_names(names):
        raise DataError(f"{path}: metadata '{OWN}' is not a JSON list of names, one for each label from 0.")
    return _different(path, OWN, names)


def _hub(path: Path, entries: Metadata, label_column: str) -> tuple[str, ...] | None:
    """Names of a label column of type ClassLabel; None if the column has another type."""
    if HUB.encode() not in entries:
        return None
    names = _json(entries[HUB.encode()])
    for key in ("info", "features", label_column, "names"):
        names = names.get(key) if isinstance(names, dict) else None
    return _different(path, HUB, names) if _is_names(names) else None


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_names(names: Any) -> bool:
    return isinstance(names, list) and bool(names) and all(isinstance(item, str) for item in names)


def _different(path: Path, key: str, names: list[str]) -> tuple[str, ...]:
    (name, times), *_ = Counter(names).most_common(1)
    if times > 1:
        raise DataError(f"{path}: metadata '{key}' names {times} classes {name!r}; give every class its own name.")
    return tuple(names)
