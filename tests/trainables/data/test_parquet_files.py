"""Which files are read: whole or sharded, in the folder or its data/; what is missing or ambiguous is refused."""

from pathlib import Path

import pytest

from trainables.data.sources.image_source import Choices
from trainables.data.sources.parquet_files import ParquetFiles, check_test_split, find_files
from trainables.errors import ConfigError, DataError


def found(folder: Path, *names: str, **choices: str) -> ParquetFiles:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return find_files(folder, Choices(**choices))


def of(files: ParquetFiles, part: str) -> list[str]:
    return [path.name for path in files.parts[part]]


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
        ["train-00000-of-00002-0af3.parquet", "train-00001-of-00002-b1C9.parquet"],
        ["train-1-of-2.parquet", "train-2-of-2.parquet"],
        ["train-a.parquet", "train-b.parquet"],
        ["train-0.parquet", "train-1.parquet"],
        ["train.parquet"],
    ],
)
def test_complete_sets_are_read_in_the_order_of_their_names(tmp_path: Path, names: list[str]) -> None:
    files = found(tmp_path, "test.parquet", *names)
    assert of(files, "train") == names
    assert of(files, "test") == ["test.parquet"]
    assert files.notes == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"],
            r"has 2 of the 3 shards of train; missing: train-00001-of-00003\.parquet\. Fetch",
        ),
        (["train-00000-of-00002-0af3.parquet"], r"missing: train-00001-of-00002\.parquet"),
        (["train-1-of-3.parquet", "train-3-of-3.parquet"], r"missing: train-2-of-3\.parquet"),
        (["train-0-of-99999999999.parquet"], r"missing: train-1-of-\d+\.parquet, .*, .* and 99,?999,?999,?995 more"),
        (
            ["train-0-of-2.parquet", "train-1-of-2.parquet", "train-7-of-2.parquet"],
            "train-7-of-2.* beyond the 2 shards",
        ),
        (["train.parquet", "train-00000-of-00001.parquet"], r"has train\.parquet and also train-00000-of-00001"),
        (["train.parquet", "train-more.parquet"], r"has train\.parquet and also train-more\.parquet"),
        (["train-0-of-1.parquet", "train-more.parquet"], "not the shards of one set"),
        (["train-0-of-1.parquet", "train-0-of-2.parquet", "train-1-of-2.parquet"], "not the shards of one set"),
        (
            ["train-0-of-2-aa.parquet", "train-0-of-2-bb.parquet", "train-1-of-2-aa.parquet"],
            "not the shards of one set",
        ),
        ([], r"has no train\.parquet and no train-\*\.parquet"),
    ],
)
def test_what_is_missing_or_may_be_there_twice_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        found(tmp_path, "test.parquet", *names)


def test_a_missing_test_shard_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 1 of the 2 shards of test; missing: test-00000-of-00002"):
        found(tmp_path, "train.parquet", "test-00001-of-00002.parquet")


def test_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000-of-00001.parquet").touch()
    (tmp_path / "._train.parquet").touch()
    files = found(tmp_path, "train.parquet", "test.parquet", "extra.parquet", "validation.parquet", "Train.parquet")
    (note,) = files.notes
    assert note.startswith("Parquet files that were not read: ")
    assert note.endswith("Train.parquet, extra.parquet, validation.parquet and 1 more")


def test_a_gap_in_numbers_without_a_total_is_noted(tmp_path: Path) -> None:
    (note,) = found(tmp_path, "test.parquet", "train-0.parquet", "train-1.parquet", "train-4.parquet").notes
    assert note == "the train files are numbered, and none has a number between 1 and 4"


def test_another_split_can_be_the_test_split_by_name(tmp_path: Path) -> None:
    names = ("train.parquet", "validation-0-of-1.parquet", "test.parquet")
    files = found(tmp_path, *names, test_split="validation")
    assert of(files, "test") == ["validation-0-of-1.parquet"]
    assert files.notes == [
        "the test images are those of the split 'validation'",
        "Parquet files that were not read: test.parquet",
    ]


def test_without_test_files_the_other_splits_are_offered(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no test\.parquet.*; it has validation\. .*--test-split validation"):
        found(tmp_path, "train.parquet", "validation-00000-of-00002.parquet", "validation-00001-of-00002.parquet")


@pytest.mark.parametrize("name", ["train", "", "*", "../test", "a/b", "a-b"])
def test_a_test_split_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--test-split is .* but not train"):
        check_test_split(name)
