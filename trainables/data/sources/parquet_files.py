"""Finds the Parquet files of each split: one whole file, or all shards, in a folder or in its `data/` folder."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from trainables.data.arrow_store import SPLITS
from trainables.data.sources.image_source import Choices
from trainables.errors import ConfigError, DataError

HUB_FOLDER = "data"
"""Where a repository of the Hugging Face hub keeps its Parquet files."""
_SPLIT = re.compile(r"[A-Za-z0-9_.]{1,64}")
_SHOWN = 3


class ParquetFiles(NamedTuple):
    """The files of each part of a data set."""

    parts: Mapping[str, list[Path]]
    """Files of `train`, `test` and, on request, `extra`, in the order of their names."""
    notes: Sequence[str]
    """What the user should know about the choice of files."""


class _Number(NamedTuple):
    """The number in a shard's name, and how many shards the name announces."""

    number: int
    total: int


def parquet_files(folder: Path, split: str) -> list[Path]:
    """`train.parquet` and the shards `train-*.parquet`, sorted by name; empty if there are none."""
    whole = folder / f"{split}.parquet"
    return [*([whole] if whole.is_file() else []), *sorted(folder.glob(f"{split}-*.parquet"))]


def check_test_split(name: str) -> None:
    """ConfigError for a name that the files of test images cannot have."""
    if name == "train" or not _SPLIT.fullmatch(name):
        raise ConfigError(
            f"--test-split is {name[:80]!a}; allowed: the name of the split whose files hold the test images, such as "
            "test or validation, but not train."
        )


def holds_parquet(folder: Path, choices: Choices) -> bool:
    """Whether a folder has Parquet files of a split."""
    return folder.is_dir() and any(parquet_files(folder, split) for split in {*SPLITS, choices.test_split})


def find_files(folder: Path, choices: Choices) -> ParquetFiles:
    """The files of every part that is asked for.

    Raises DataError for a part without files, for an incomplete set of shards, and for files that may hold the same
    images twice.
    """
    names = {"train": "train", "test": choices.test_split, **({"extra": "extra"} if choices.extra else {})}
    parts = {part: _files(folder, split) for part, split in names.items()}
    notes = [note for part, split in names.items() for note in _gaps(parts[part], split)]
    if choices.test_split != "test":
        notes.append(f"the test images are those of the split '{choices.test_split}'")
    if left_out := _left_out(folder, {path for paths in parts.values() for path in paths}):
        notes.append(f"Parquet files that were not read: {some(left_out)}")
    return ParquetFiles(parts, notes)


def _left_out(folder: Path, read: Collection[Path]) -> list[Path]:
    places = (folder, folder / HUB_FOLDER) if folder.name != HUB_FOLDER else (folder,)
    found = (path for place in places for path in sorted(place.glob("*.parquet")) if not path.name.startswith("."))
    return [path for path in found if path not in read]


def some(paths: Sequence[Path]) -> str:
    """The names of the first paths and the number of the others."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(path.name for path in paths[:_SHOWN]) + more


def _files(folder: Path, split: str) -> list[Path]:
    paths = parquet_files(folder, split)
    if not paths:
        raise DataError(f"{folder} has no {split}.parquet and no {split}-*.parquet; {_instead(folder, split)}")
    shards = [path for path in paths if path.name != f"{split}.parquet"]
    if len(shards) < len(paths) and shards:
        raise DataError(
            f"{folder} has {split}.parquet and also {some(shards)}; they may hold the same images. Move away those "
            "that are not to be read."
        )
    numbers = {path: _number(path, split) for path in shards}
    if any(numbers.values()):
        _check_complete(folder, split, numbers)
    return paths


def _instead(folder: Path, split: str) -> str:
    """What to do about a split without files."""
    others = {re.sub(r"-\d+-of-\d+.*", "", path.stem) for path in folder.glob("*.parquet")} - {split, "train", "extra"}
    if split == "test" and others:
        return f"it has {', '.join(sorted(others)[:_SHOWN])}. To test on one of them: --test-split {min(others)}"
    return f"put the {split} images there."


def _number(path: Path, split: str) -> _Number | None:
    """The number of a shard, from a name such as train-00000-of-00003.parquet, with or without a hash at its end."""
    found = re.fullmatch(rf"{re.escape(split)}-(\d+)-of-(\d+)(?:-[0-9A-Za-z]+)?\.parquet", path.name)
    return _Number(int(found[1]), int(found[2])) if found else None


def _check_complete(folder: Path, split: str, numbers: Mapping[Path, _Number | None]) -> None:
    """DataError unless the shards are exactly the ones that their names announce."""
    unnumbered = [path for path, number in numbers.items() if number is None]
    totals = {number.total for number in numbers.values() if number}
    taken = [number.number for number in numbers.values() if number]
    if unnumbered or len(totals) > 1 or len(set(taken)) < len(taken):
        raise DataError(
            f"{folder}: {some(list(numbers))} are not the shards of one set; they may hold the same images. Move away "
            "those that are not to be read."
        )
    (total,) = totals
    # Some writers count from 1.
    first = 1 if 0 not in taken and total in taken else 0
    wanted = range(first, first + total)
    beyond = [path for path, number in numbers.items() if number and number.number not in wanted]
    if beyond:
        raise DataError(f"{folder}: {some(beyond)} has a number beyond the {total} shards of {split}. Move it away.")
    if len(taken) < total:
        example, have = next(iter(numbers)), set(taken)
        missing = itertools.islice((number for number in wanted if number not in have), _SHOWN)
        names = ", ".join(_renumbered(example, split, number) for number in missing)
        more = total - len(taken) - _SHOWN
        raise DataError(
            f"{folder} has {len(taken)} of the {total} shards of {split}; missing: {names}"
            f"{f' and {more} more' if more > 0 else ''}. Fetch what is missing, then prepare again."
        )


def _renumbered(path: Path, split: str, number: int) -> str:
    """The name of another shard of the same set, without a hash."""
    digits, total = path.name.removeprefix(f"{split}-").removesuffix(".parquet").split("-of-")
    return f"{split}-{number:0{len(digits)}d}-of-{total.split('-')[0]}.parquet"


def _gaps(paths: Sequence[Path], split: str) -> Iterator[str]:
    """A note where shards are numbered without a total, and a number between them is missing."""
    found = [re.fullmatch(rf"{re.escape(split)}-(\d+)\.parquet", path.name) for path in paths]
    numbers = sorted(int(match[1]) for match in found if match)
    for before, after in itertools.pairwise(numbers):
        if after > before + 1:
            yield f"the {split} files are numbered, and none has a number between {before} and {after}"
            return
