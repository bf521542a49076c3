"""SVHN's official .mat files: upright digits, label 10 is digit 0, extra images on request."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from tests.support.images import encode, pixels, real_data, request, write_parquet
from trainables.data.sources.parquet import parquet_source
from trainables.data.sources.pixels import decode_image
from trainables.data.sources.svhn import SVHN, Svhn
from trainables.errors import DataError

NUM = {"train": 7, "test": 5, "extra": 9}


def make_svhn(
    folder: Path, images: dict[str, np.ndarray], labels: dict[str, list[int]], compressed: bool = True
) -> Svhn:
    """Files in the published form: MATLAB stores images (N, height, width, channel) as (height, width, channel, N)."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, images_NHWC in images.items():
        variables = {"X": images_NHWC.transpose(1, 2, 3, 0), "y": np.array(labels[part], np.uint8)[:, None]}
        savemat(folder / f"{part}_32x32.mat", variables, do_compression=compressed)
    return with_digests(folder)


def with_digests(folder: Path) -> Svhn:
    found = {
        part: download._replace(md5=hashlib.md5((folder / download.file).read_bytes()).hexdigest())
        for part, download in SVHN.downloads.items()
        if (folder / download.file).exists()
    }
    return SVHN._replace(downloads={**SVHN.downloads, **found})


def small(folder: Path, compressed: bool = True) -> tuple[Svhn, dict[str, np.ndarray], dict[str, list[int]]]:
    images = {part: pixels(num, 32, seed) for seed, (part, num) in enumerate(NUM.items())}
    labels = {part: [1 + i % 10 for i in range(num)] for part, num in NUM.items()}
    labels["test"][2] = 10
    return make_svhn(folder, images, labels, compressed), images, labels


@pytest.mark.parametrize("compressed", [False, True])
def test_images_are_upright_and_ten_is_zero(tmp_path: Path, compressed: bool) -> None:
    svhn, images, _ = small(tmp_path, compressed)
    source = svhn.source(tmp_path, request(tmp_path))
    assert source.num_images == {"train": 7, "test": 5}
    for split in ("train", "test"):
        (piece,) = source.chunks(split)
        assert np.array_equal(piece.images_NHWC, images[split])
    assert piece.labels_N.tolist() == [1, 2, 0, 4, 5]


def test_extra_follows_train_on_request(tmp_path: Path) -> None:
    svhn, images, _ = small(tmp_path)
    source = svhn.source(tmp_path, request(tmp_path, extra=True))
    assert source.num_images == {"train": 16, "test": 5}
    joined = np.concatenate([piece.images_NHWC for piece in source.chunks("train")])
    assert np.array_equal(joined, np.concatenate([images["train"], images["extra"]]))


def test_missing_extra_says_where_to_get_it(tmp_path: Path) -> None:
    svhn, _, _ = small(tmp_path)
    (tmp_path / "extra_32x32.mat").unlink()
    with pytest.raises(DataError, match=r"extra_32x32\.mat is missing. Get http://ufldl"):
        svhn.source(tmp_path, request(tmp_path, extra=True))


def test_folder_and_file_are_found(tmp_path: Path) -> None:
    small(tmp_path)
    assert SVHN.find(tmp_path) == SVHN.find(tmp_path / "test_32x32.mat") == tmp_path
    (tmp_path / "other.txt").write_text("")
    assert SVHN.find(tmp_path / "other.txt") is None
    (tmp_path / "empty").mkdir()
    assert SVHN.find(tmp_path / "empty") is None


def test_other_bytes_than_the_published_are_refused(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(DataError, match=r"train_32x32\.mat has MD5 .*published is e26dedcc"):
        SVHN.source(tmp_path, request(tmp_path))


@pytest.mark.parametrize("label", [0, 11])
def test_label_out_of_range_is_named_or_skipped(tmp_path: Path, label: int) -> None:
    _, images, labels = small(tmp_path)
    labels["train"][3] = label
    svhn = make_svhn(tmp_path, images, labels)
    with pytest.raises(DataError, match=r"train_32x32\.mat, row 3: label .* is out of range"):
        list(svhn.source(tmp_path, request(tmp_path)).chunks("train"))
    skipping = request(tmp_path, skip=True)
    (piece,) = svhn.source(tmp_path, skipping).chunks("train")
    assert np.array_equal(piece.images_NHWC, np.delete(images["train"], 3, axis=0))
    assert len(skipping.bad_rows.found) == 1


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"Z": np.zeros((2, 2))}, r"holds the variables Z, not X and y"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((3, 1))}, r"X is uint8 \(32, 32, 3, 4\).*3\)"),
        ({"X": np.zeros((32, 32, 3, 4)) + 0.5, "y": np.ones((4, 1))}, r"X is float64"),
        ({"X": np.zeros((16, 32, 3, 4), np.uint8), "y": np.ones((4, 1))}, r"X is uint8 \(16, 32, 3, 4\)"),
    ],
)
def test_file_of_another_form_is_named(tmp_path: Path, variables: dict[str, np.ndarray], message: str) -> None:
    small(tmp_path)
    savemat(tmp_path / "test_32x32.mat", variables)
    with pytest.raises(DataError, match=rf"test_32x32\.mat is not a file of SVHN.*{message}"):
        with_digests(tmp_path).source(tmp_path, request(tmp_path))


def test_truncated_file_is_named(tmp_path: Path) -> None:
    small(tmp_path)
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"train_32x32\.mat is not a file of SVHN.*early"):
        with_digests(tmp_path).source(tmp_path, request(tmp_path))


def test_parquet_extra_follows_train_too(tmp_path: Path) -> None:
    for part, num in NUM.items():
        write_parquet(tmp_path / f"{part}.parquet", [encode(image) for image in pixels(num, 32)], [1] * num)
    assert parquet_source("svhn", tmp_path, request(tmp_path)).num_images == {"train": 7, "test": 5}
    source = parquet_source("svhn", tmp_path, request(tmp_path, extra=True))
    assert source.num_images == {"train": 16, "test": 5}
    assert sum(len(piece.labels_N) for piece in source.chunks("train")) == 16


def test_real_digits_survive_the_official_format(tmp_path: Path) -> None:
    images, labels = {}, {}
    for split in ("train", "test"):
        rows = pq.read_table(real_data("svhn") / f"{split}.parquet").slice(0, 300).to_pylist()
        images[split] = np.stack([decode_image(row["image"]["bytes"], 32) for row in rows])
        labels[split] = [row["label"] or 10 for row in rows]
    source = make_svhn(tmp_path, images, labels).source(tmp_path, request(tmp_path))
    (piece,) = source.chunks("test")
    assert np.array_equal(piece.images_NHWC, images["test"])
    assert [label or 10 for label in piece.labels_N.tolist()] == labels["test"]
