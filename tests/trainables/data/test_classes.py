"""Which classes a folder of Parquet files has, and what is refused or noted about them."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support.images import encode, pixels, request, write_columns
from trainables.data.sources.image_source import ImageSource
from trainables.data.sources.parquet import parquet_source
from trainables.errors import DataError

IMAGE = encode(pixels(1)[0])


def read(
    folder: Path,
    train: Any,
    test: Any = None,
    *,
    name: str = "mine",
    metadata: dict[str, str] | None = None,
    **asked: Any,
) -> tuple[ImageSource, list[list[int]], list[str]]:
    """The source, the labels of train and test, and the notes."""
    for split, labels in (("train", train), ("test", train if test is None else test)):
        write_columns(folder / f"{split}.parquet", metadata, image=[IMAGE] * len(labels), label=labels)
    wanted = request(folder, 8, **asked)
    source = parquet_source(name, folder, wanted)
    labels = [
        np.concatenate([piece.labels_N for piece in source.chunks(split)]).tolist() for split in ("train", "test")
    ]
    return source, labels, wanted.notes.lines()


def hub(names: list[str], column: str = "label") -> dict[str, str]:
    """What the library `datasets` writes into a file's metadata."""
    features = {"image": {"_type": "Image"}, column: {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


@pytest.mark.parametrize(
    ("labels", "few", "missing"),
    [
        ([1, 2, 3, 4], "1, 2, 3, 4", "1 of 5"),
        ([0, 1, 3], "0, 1, 3", "1 of 4"),
        ([3, 7, 1440764, 99_000_000], "3, 7, 1440764, 99000000", "98,999,997 of 99,000,001"),
        ([2**62, 0], "0, 4611686018427387904", "4,611,686,018,427,387,903 of"),
        ([5], "5", "5 of 6"),
    ],
)
def test_labels_that_leave_gaps_are_refused_at_once(tmp_path: Path, labels: list[int], few: str, missing: str) -> None:
    started = time.monotonic()
    with pytest.raises(
        DataError, match=rf"training labels are {few}, so {missing}.* would have no training image.*--relabel"
    ):
        read(tmp_path, labels * 2)
    assert time.monotonic() - started < 5


def test_relabel_numbers_the_labels_that_occur_and_names_classes_by_them(tmp_path: Path) -> None:
    source, labels, notes = read(tmp_path, [7, 3, 1440764, 3], [1440764, 7], relabel=True)
    assert source.class_names == ("3", "7", "1440764")
    assert labels == [[1, 0, 2, 0], [2, 1]]
    assert notes == ["the labels that occur are numbered from 0, and the classes are named by them: 3, 7, 1440764"]


def test_relabel_leaves_out_named_classes_without_training_images(tmp_path: Path) -> None:
    names = {"class_names": json.dumps(["none", "cat", "dog"])}
    source, labels, notes = read(tmp_path, [1, 2], metadata=names, relabel=True)
    assert (source.class_names, labels) == (("cat", "dog"), [[0, 1], [0, 1]])
    assert notes == ["classes without training images left out, as --relabel asks: none"]


def test_named_classes_may_be_without_images(tmp_path: Path) -> None:
    """The names say that these classes are meant; the census notes them."""
    source, labels, _ = read(tmp_path, [1, 2], metadata={"class_names": json.dumps(["none", "cat", "dog"])})
    assert (source.class_names, labels) == (("none", "cat", "dog"), [[1, 2], [1, 2]])


@pytest.mark.parametrize("metadata", [None, {"class_names": '["a", "b", "c"]'}])
def test_a_test_class_that_training_lacks_is_refused_or_skipped(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    said = r"test\.parquet, row 2: label '2' is of a class without training images. Give the class"
    with pytest.raises(DataError, match=said):
        read(tmp_path, [0, 1], [0, 1, 2], metadata=metadata)
    _, labels, _ = read(tmp_path, [0, 1], [0, 1, 2, 0], metadata=metadata, skip=True)
    assert labels == [[0, 1], [0, 1, 0]]


def test_a_label_of_minus_one_is_explained(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"row 1: label -1 is negative; .*-1 often marks an unlabelled image\. .*--skip"
    ):
        read(tmp_path, [0, -1, 1])


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_text_labels_are_numbered_in_alphabetical_order(tmp_path: Path, kind: pa.DataType) -> None:
    train, test = pa.array(["dog", "cat", "dog"]).cast(kind), pa.array(["cat", "dog"]).cast(kind)
    source, labels, notes = read(tmp_path, train, test)
    assert (source.class_names, labels) == (("cat", "dog"), [[1, 0, 1], [0, 1]])
    assert notes == ["labels are text; they number 2 classes in alphabetical order: cat, dog"]


def test_text_labels_follow_the_names_in_the_metadata_or_the_catalogue(tmp_path: Path) -> None:
    _, labels, _ = read(tmp_path, ["dog", "cat"], metadata=hub(["dog", "cat"]))
    assert labels[0] == [0, 1]
    # Not as numbers: the classes are called so.
    _, labels, _ = read(tmp_path, ["1", "2"], metadata=hub(["2", "1"]))
    assert labels[0] == [1, 0]
    _, labels, _ = read(tmp_path, ["truck", "airplane"], name="cifar10")
    assert labels[0] == [9, 0]
    with pytest.raises(DataError, match="row 1: label 'plane' is none of the 10 class names"):
        read(tmp_path, ["truck", "plane"], name="cifar10")


def test_text_of_whole_numbers_counts_as_numbers(tmp_path: Path) -> None:
    numbers = [str(label) for label in range(11)]
    source, labels, notes = read(tmp_path, numbers[::-1])
    assert source.class_names == tuple(numbers)
    assert labels[0] == list(range(11))[::-1]
    assert "labels are text that reads as whole numbers; they count as these numbers" in notes
    source, _, _ = read(tmp_path, ["01", "1"])
    assert source.class_names == ("01", "1")


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()])
def test_whole_floats_are_labels(tmp_path: Path, kind: pa.DataType) -> None:
    source, labels, _ = read(tmp_path, pa.array([1.0, 0.0, 2.0]).cast(kind))
    assert (source.class_names, labels[0]) == (("0", "1", "2"), [1, 0, 2])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (pa.array([0.0, 1.5]), "label 1.5 is no whole number"),
        (pa.array([0.0, float("nan")]), "label nan is no whole number"),
        (pa.array([0.0, float("inf")]), "label inf is no whole number"),
        (pa.array([0.0, 1e300]), "label 1e.300 is no whole number"),
        (pa.array([0.0, None]), "the label is null"),
        (pa.array([0, 2**63], pa.uint64()), "label 9223372036854775808 is no whole number of 64 bits"),
        (pa.array(["a", None]), "the label is null"),
        (pa.array(["a", " "]), "the label is empty"),
        (pa.array(["a", None]).dictionary_encode(), "the label is null"),
    ],
)
def test_a_label_that_cannot_be_read_is_named_or_skipped(tmp_path: Path, labels: pa.Array, said: str) -> None:
    with pytest.raises(DataError, match=rf"train\.parquet, row 1: {said}"):
        read(tmp_path, labels)
    _, found, _ = read(tmp_path, labels, skip=True)
    assert found == [[0], [0]]


def test_files_of_different_kinds_of_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.parquet has text labels and .*test\.parquet has numbers"):
        read(tmp_path, ["a", "b"], [0, 1])


def test_hub_metadata_names_the_classes(tmp_path: Path) -> None:
    source, labels, notes = read(tmp_path, [1, 0, 2], metadata=hub(["rose", "tulip", "daisy"]))
    assert (source.class_names, labels[0], notes) == (("rose", "tulip", "daisy"), [1, 0, 2], [])


def test_hub_metadata_without_class_names_leaves_the_labels_to_speak(tmp_path: Path) -> None:
    for text in (
        '{"info": {"features": {"label": {"dtype": "int64", "_type": "Value"}}}}',
        "[" * 9_000,
        "[]",
        "nonsense",
    ):
        source, _, notes = read(tmp_path, [1, 0], metadata={"huggingface": text})
        assert source.class_names == ("0", "1")
        assert notes == ["the files name no classes, so the classes are called by their numbers: 0, 1"]


def test_files_that_name_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    read(tmp_path, [0, 1], metadata=hub(["a", "b"]))
    write_columns(tmp_path / "test.parquet", hub(["b", "a"]), image=[IMAGE] * 2, label=[0, 1])
    with pytest.raises(DataError, match=r"train.parquet \(metadata 'huggingface'\) and .* in another order"):
        parquet_source("mine", tmp_path, request(tmp_path))
    both = hub(["a", "b"]) | {"class_names": '["a", "c"]'}
    with pytest.raises(DataError, match=r"'class_names'\) and .*'huggingface'\) name different classes"):
        read(tmp_path, [0, 1], metadata=both)


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'huggingface' names 2 classes 'a'; give every class its own name"):
        read(tmp_path, [0, 1, 2], metadata=hub(["a", "b", "a"]))


@pytest.mark.parametrize("labels", [["a", "b"], pa.array(["a", "b"]).dictionary_encode()])
def test_a_known_data_set_keeps_its_number_of_classes(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(DataError, match=r"the labels give 2 classes, cifar100 has 100\. Prepare it under another name"):
        read(tmp_path, labels, name="cifar100")
    with pytest.raises(DataError, match="the labels give 2 classes, cifar10 has 10"):
        read(tmp_path, [0, 1], name="cifar10", relabel=True)
    assert read(tmp_path, [0, 1], name="cifar10", metadata={"subset": "two classes"}, relabel=True)[1][0] == [0, 1]
