"""Names the classes of a folder of Parquet files: from its metadata, from the catalogue, or as numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.catalog import KNOWN_DATASETS
from trainables.errors import DataError

Metadata = Mapping[bytes, bytes]


def parquet_class_names(
    name: str, metadata: Mapping[Path, Metadata], labels: Mapping[Path, np.ndarray]
) -> tuple[str, ...]:
    """Class names; index = label. DataError where files disagree, or have another number than a known data set.

    Accepts fewer classes than known if the metadata says under `subset` which they are.
    """
    named: dict[tuple[str, ...], Path] = {}
    for path, entries in metadata.items():
        if b"class_names" in entries:
            named.setdefault(_parsed(path, entries[b"class_names"]), path)
    if len(named) > 1:
        first, second = list(named.values())[:2]
        raise DataError(f"{first} and {second} name different classes in their metadata 'class_names'; make them one.")
    for names, path in named.items():
        known = KNOWN_DATASETS[name].num_classes if name in KNOWN_DATASETS else len(names)
        if len(names) > known or (len(names) < known and b"subset" not in metadata[path]):
            raise DataError(
                f"{path} names {len(names)} classes in its metadata, {name} has {known}. Prepare it under another "
                f"name; or, where it is a part of {name}, say which in the metadata 'subset'."
            )
        return names
    if name in KNOWN_DATASETS:
        return KNOWN_DATASETS[name].class_names or tuple(map(str, range(KNOWN_DATASETS[name].num_classes)))
    return tuple(map(str, range(1 + max((int(found.max()) for found in labels.values() if found.size), default=0))))


def _parsed(path: Path, text: bytes) -> tuple[str, ...]:
    try:
        names: Any = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(item, str) for item in names):
        raise DataError(f"{path}: metadata 'class_names' is not a JSON list of names, one for each label from 0.")
    return tuple(names)
