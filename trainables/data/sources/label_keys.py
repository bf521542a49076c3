"""Makes one whole number, a key, out of every label of every file; the labels of all files are of one kind."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.data.sources.labels import Labels
from trainables.data.sources.notes import Notes
from trainables.errors import DataError


class Keys(NamedTuple):
    """Every row's label as a whole number."""

    of_rows: Mapping[Path, np.ndarray]
    """int64 (N); meaningless where the label is unusable."""
    vocabulary: tuple[str, ...] | None
    """The text of each key from 0, sorted; None: labels are whole numbers, and each is its own key."""

    def shown(self, key: int) -> str:
        """The label that a key stands for."""
        return str(key) if self.vocabulary is None else self.vocabulary[key]


def label_keys(labels: Mapping[Path, Labels], class_names: Collection[str] | None, notes: Notes) -> Keys:
    """Keys of all files' labels. Text counts as whole numbers where all of it is, unless the classes are called so.

    Raises DataError where some files have numbers and others text.
    """
    texts = {path: found for path, found in labels.items() if found.texts is not None}
    if not texts:
        return Keys({path: found.values_N for path, found in labels.items()}, None)
    if numeric := next((path for path in labels if path not in texts), None):
        raise DataError(
            f"{next(iter(texts))} has text labels and {numeric} has numbers; write the labels of all files alike."
        )
    used = set().union(*(found.used_texts() for found in texts.values()))
    numbers = {path: found.as_numbers() for path, found in texts.items()}
    if not (class_names and used <= set(class_names)) and used:
        as_numbers = {path: values_N for path, values_N in numbers.items() if values_N is not None}
        if len(as_numbers) == len(numbers):
            notes.add("labels are text that reads as whole numbers; they count as these numbers")
            return Keys(as_numbers, None)
    vocabulary = tuple(sorted(used))
    places = {text: key for key, text in enumerate(vocabulary)}
    return Keys({path: found.translated(places) for path, found in texts.items()}, vocabulary)
