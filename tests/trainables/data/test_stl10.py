"""STL-10's binary files: column-major planes, labels from one."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.images import pixels, real_data, request
from trainables.data.prepare import prepare
from trainables.data.sources.pixels import decode_image
from trainables.data.sources.stl10 import STL10, Stl10
from trainables.errors import DataError


def make_stl10(root: Path, images: dict[str, np.ndarray], labels: dict[str, list[int]]) -> tuple[Path, Stl10]:
    """The unpacked folder; labels from 1, as in the archive."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for split, images_NHWC in images.items():
        (folder / f"{split}_X.bin").write_bytes(images_NHWC.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(labels[split]))
    (folder / "unlabeled_X.bin").write_bytes(b"not read")
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in STL10.md5}
    return folder, STL10._replace(md5=md5)


def small(root: Path) -> tuple[Path, Stl10, dict[str, np.ndarray]]:
    images = {"train": pixels(6, 96, 0), "test": pixels(4, 96, 1)}
    folder, stl10 = make_stl10(root, images, {"train": [1, 2, 3, 4, 5, 10], "test": [10, 9, 8, 7]})
    return folder, stl10, images


@pytest.mark.parametrize("archived", [False, True])
def test_images_are_upright_and_labels_start_at_zero(tmp_path: Path, archived: bool) -> None:
    folder, stl10, images = small(tmp_path)
    place = folder
    if archived:
        place = tmp_path / "stl10_binary.tar.gz"
        with tarfile.open(place, "w:gz") as archive:
            archive.add(folder, "stl10_binary")
    source = stl10.source(place, request(tmp_path / "scratch", 96))
    assert source.class_names[0] == "airplane"
    for split in ("train", "test"):
        (piece,) = source.chunks(split)
        assert np.array_equal(piece.images_NHWC, images[split])
    assert piece.labels_N.tolist() == [9, 8, 7, 6]
    assert not (tmp_path / "scratch/stl10_binary/unlabeled_X.bin").exists()


def test_images_are_resized_bilinearly(tmp_path: Path) -> None:
    folder, stl10, images = small(tmp_path)
    (piece,) = stl10.source(folder, request(tmp_path, 32)).chunks("test")
    expected = Image.fromarray(images["test"][2]).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(piece.images_NHWC[2], np.asarray(expected))


def test_folder_above_folder_itself_and_archive_are_found(tmp_path: Path) -> None:
    folder, _, _ = small(tmp_path)
    assert STL10.find(tmp_path) == STL10.find(folder) == folder
    (tmp_path / "stl10_binary.tar.gz").write_bytes(b"")
    assert STL10.find(tmp_path / "stl10_binary.tar.gz") == tmp_path / "stl10_binary.tar.gz"


def test_other_bytes_than_the_published_are_refused(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(DataError, match=r"train_X\.bin has MD5 .*published is 918c2871"):
        prepare("stl10", tmp_path / "data", 32, tmp_path)


@pytest.mark.parametrize("label", [0, 11])
def test_label_out_of_range_is_named_or_skipped(tmp_path: Path, label: int) -> None:
    images = {"train": pixels(3, 96), "test": pixels(1, 96)}
    folder, stl10 = make_stl10(tmp_path, images, {"train": [1, label, 3], "test": [1]})
    with pytest.raises(DataError, match=r"train_y\.bin, row 1: label .* is out of range"):
        list(stl10.source(folder, request(tmp_path)).chunks("train"))
    (piece,) = stl10.source(folder, request(tmp_path, 96, skip=True)).chunks("train")
    assert np.array_equal(piece.images_NHWC, images["train"][[0, 2]])


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    images = {"train": pixels(3, 96), "test": pixels(1, 96)}
    folder, stl10 = make_stl10(tmp_path, images, {"train": [1, 2], "test": [1]})
    with pytest.raises(DataError, match=r"train_X\.bin has 82,944 bytes, which is not 2 images"):
        stl10.source(folder, request(tmp_path))


def test_real_images_survive_the_official_format(tmp_path: Path) -> None:
    images, labels = {}, {}
    for split in ("train", "test"):
        rows = pq.read_table(real_data("stl10") / f"{split}.parquet").slice(0, 100).to_pylist()
        images[split] = np.stack([decode_image(row["image"]["bytes"], 96) for row in rows])
        labels[split] = [row["label"] + 1 for row in rows]
    folder, stl10 = make_stl10(tmp_path, images, labels)
    (piece,) = stl10.source(folder, request(tmp_path, 96)).chunks("train")
    assert np.array_equal(piece.images_NHWC, images["train"])
    assert (piece.labels_N + 1).tolist() == labels["train"]
