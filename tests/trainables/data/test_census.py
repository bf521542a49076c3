"""What the counts of a prepared data set say: classes without images, and test images that training has as well."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.images import encode, parquet_folder, pixels, write_parquet
from trainables.data.arrow_store import Split, Store
from trainables.data.census import Census
from trainables.data.prepare import prepare
from trainables.data.sources.bad_rows import BadRows
from trainables.data.sources.image_source import ImageSource
from trainables.errors import DataError


def census_of(train: list[Split], test: list[Split], names: tuple[str, ...]) -> Census:
    census = Census(names)
    watched = census.watching(
        ImageSource(names, "made here", {}, lambda split: iter({"train": train, "test": test}[split]))
    )
    for split in ("train", "test"):
        assert sum(len(piece.labels_N) for piece in watched.chunks(split)) > 0
    return census


def piece(labels: list[int], seed: int = 0) -> Split:
    return Split(pixels(len(labels), seed=seed), np.array(labels, np.int64))


def test_nothing_is_said_about_a_usual_data_set() -> None:
    assert census_of([piece([0, 1]), piece([1, 0], 1)], [piece([0, 1], 2)], ("a", "b")).notes() == []


def test_equal_images_across_training_and_test_are_counted() -> None:
    again = Split(pixels(6, seed=0)[[4, 5, 4]], np.array([0, 0, 1]))
    (note,) = census_of([piece([0, 1] * 3)], [again, piece([0, 1], 2)], ("a", "b")).notes()
    assert note == "test images that equal a training image in every pixel: 3 of 5; the test error may be too low"


def test_one_changed_value_makes_another_image() -> None:
    changed = pixels(2, seed=0).copy()
    changed[:, 0, 0, 0] ^= 1
    assert census_of([piece([0, 1] * 2)], [Split(changed, np.array([0, 1]))], ("a", "b")).notes() == []


def test_classes_with_few_images_are_named() -> None:
    names = tuple("abcdefgh")
    found = census_of([piece([0, 0, 1, 2, 2])], [piece([0, 1], 1)], names).notes()
    assert found == [
        "classes without training images: 5 of 8 ('d', 'e', 'f', 'g', 'h')",
        "classes with a single training image: 1 of 8 ('b')",
        "classes without test images: 1 of 8 ('c')",
    ]


def test_one_class_is_said() -> None:
    found = census_of([piece([0, 0])], [piece([0], 1)], ("a",)).notes()
    assert found == ["all training images are of one class, 'a'; training needs two"]


def test_a_class_whose_training_images_are_all_bad_is_refused(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path / "in", names=["a", "b"])
    write_parquet(folder / "train.parquet", [encode(pixels(1)[0]), b"bad", b"bad"], [0, 1, 1], ["a", "b"])
    with pytest.raises(DataError, match="no usable training image is of the class 'b', but test images are"):
        prepare("pets", tmp_path / "data", 8, folder, bad_rows=BadRows(skip=True))
    assert not list((tmp_path / "data").glob("pets*"))


def test_notes_are_kept_with_the_data_and_follow_a_second_preparing(tmp_path: Path) -> None:
    def prepared() -> Store:
        return prepare("pets", tmp_path / "data", 8, folder)

    folder = parquet_folder(tmp_path / "in", names=["a", "b"])
    meta = tmp_path / "data/pets-8/meta.json"
    assert prepared().notes == ()
    assert '"notes"' not in meta.read_text(encoding="utf-8")
    inode = meta.stat().st_ino
    (folder / "more.parquet").touch()
    assert prepared().notes == ("Parquet files that were not read: more.parquet",)
    assert meta.stat().st_ino != inode
    (folder / "more.parquet").unlink()
    assert prepared().notes == ()
