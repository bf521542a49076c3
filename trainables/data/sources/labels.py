"""Reads a label column: whole numbers of any type, or text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

KINDS = "whole numbers or text"
_LARGEST_FLOAT = 2.0**53
"""Above this, floats leave out whole numbers."""


class Labels(NamedTuple):
    """The labels of one file."""

    values_N: np.ndarray
    """int64: the labels, or indices into `texts`; 0 where the label is unusable."""
    usable_N: np.ndarray
    """bool: the label is a whole number or a text."""
    texts: tuple[str, ...] | None
    """The different labels of a text column."""
    column: Any
    """The Arrow column, for messages."""

    def unusable(self, row: int) -> str | None:
        """Why a row's label cannot be read; None if it can."""
        if self.usable_N[row]:
            return None
        value = self.column[int(row)].as_py()
        if value is None:
            return "the label is null"
        return "the label is empty" if isinstance(value, str) else f"label {value} is no whole number of 64 bits"

    def used_texts(self) -> set[str]:
        """The different usable labels of a text column."""
        texts = self.texts or ()
        return {texts[i] for i in np.unique(self.values_N[self.usable_N])}

    def translated(self, numbers: Mapping[str, int]) -> np.ndarray:
        """A text column as the number of each text, int64 (N); -1 for a text without a number."""
        by_index = np.array([numbers.get(text, -1) for text in self.texts or ()] or [-1], np.int64)
        translated_N: np.ndarray = by_index[self.values_N]
        return translated_N

    def as_numbers(self) -> np.ndarray | None:
        """A text column as whole numbers, int64 (N); None if a usable label is none."""
        used = self.used_texts()
        return self.translated({text: int(text) for text in used}) if all(map(_is_number, used)) else None


def is_label_type(kind: Any) -> bool:
    """Whether an Arrow type can hold labels."""
    if pa.types.is_dictionary(kind):
        return is_label_type(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or is_text(kind))


def is_text(kind: Any) -> bool:
    """Whether an Arrow type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def read_labels(path: Path, name: str) -> Labels:
    """The labels of a file's column `name`; ArrowException or OSError for a damaged file."""
    with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=[name]) as file:
        # Repeated text stays a dictionary: a small file can repeat a long text millions of times.
        column = file.read(columns=[name]).column(name)
    if pa.types.is_dictionary(column.type) and not is_text(column.type.value_type):
        column = pc.cast(column, column.type.value_type)
    given_N = ~column.is_null().to_numpy()
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        texts = tuple(whole.dictionary.to_pylist()) if len(whole) else ()
        return _of_text(whole, given_N, texts, column)
    if pa.types.is_floating(column.type):
        values_N = column.fill_null(0).to_numpy().astype(np.float64)
        whole_N = np.isfinite(values_N) & (np.abs(values_N) <= _LARGEST_FLOAT) & (values_N == np.floor(values_N))
        usable_N = given_N & whole_N
        return Labels(np.where(usable_N, values_N, 0).astype(np.int64), usable_N, None, column)
    numbers_N = column.fill_null(0).to_numpy()
    usable_N = given_N & (numbers_N <= np.iinfo(np.int64).max)
    return Labels(np.where(usable_N, numbers_N, 0).astype(np.int64), usable_N, None, column)


def _of_text(whole: Any, given_N: np.ndarray, texts: Sequence[str | None], column: Any) -> Labels:
    values_N = pc.fill_null(whole.indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    blank = np.array([not (text or "").strip() for text in texts] or [True])
    usable_N = given_N & ~blank[values_N]
    return Labels(np.where(usable_N, values_N, 0), usable_N, tuple(text or "" for text in texts), column)


def _is_number(text: str) -> bool:
    """Whether text is a whole number in the usual form: without leading zeros, spaces or a plus sign."""
    digits = text.removeprefix("-")
    return len(digits) <= 18 and digits.isascii() and digits.isdecimal() and str(int(digits)) == digits
