"""CUB-200-2011: the lists must agree, the split is the official one, each bird is cropped by its box."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.images import encode, real_data, request, write_parquet
from trainables.data.prepare import prepare
from trainables.data.sources.cub200 import CUB200, Cub200
from trainables.data.sources.parquet import parquet_source
from trainables.errors import DataError

SMALL = CUB200._replace(num_classes=2, num_images={"train": 3, "test": 2})
NAMES = ["001.Auk/a.jpg", "001.Auk/b.jpg", "002.Wren/c.jpg", "002.Wren/d.jpg", "002.Wren/e.jpg"]
BOX = (10.0, 5.0, 20.0, 15.0)


def photo(i: int) -> np.ndarray:
    """A dark image, 40 x 30 pixels, with a bright box at BOX."""
    image = np.full((30, 40, 3), 10 * i, np.uint8)
    image[5:20, 10:30] = 200
    return image


def make_cub(root: Path) -> Path:
    folder = root / "CUB_200_2011"
    for i, name in enumerate(NAMES):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(photo(i), "PNG"))
    lists = {
        "images.txt": NAMES,
        "image_class_labels.txt": [1, 1, 2, 2, 2],
        "train_test_split.txt": [1, 0, 1, 0, 1],
        "bounding_boxes.txt": [" ".join(map(str, BOX))] * 5,
        "classes.txt": ["001.Auk", "002.Wren"],
    }
    for file, lines in lists.items():
        (folder / file).write_text("".join(f"{i} {line}\n" for i, line in enumerate(lines, 1)))
    return folder


def pack(folder: Path, path: Path) -> tuple[Path, Cub200]:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "CUB_200_2011")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    return path, SMALL._replace(download=SMALL.download._replace(md5=md5))


@pytest.mark.parametrize("archived", [False, True])
def test_birds_are_cut_out_and_split_officially(tmp_path: Path, archived: bool) -> None:
    place, cub = make_cub(tmp_path), SMALL
    if archived:
        place, cub = pack(place, tmp_path / "CUB_200_2011.tgz")
    source = cub.source(place, request(tmp_path / "scratch", 16))
    assert source.class_names == ("001.Auk", "002.Wren")
    (train,), (test,) = source.chunks("train"), source.chunks("test")
    assert train.labels_N.tolist() == [0, 1, 1]
    assert test.labels_N.tolist() == [0, 1]
    assert train.images_NHWC.shape == (3, 16, 16, 3)
    assert np.all(train.images_NHWC == 200)


def test_folder_above_folder_itself_and_archive_are_found(tmp_path: Path) -> None:
    folder = make_cub(tmp_path)
    assert CUB200.find(tmp_path) == CUB200.find(folder) == folder
    archive, _ = pack(folder, tmp_path / "CUB_200_2011.tgz")
    assert CUB200.find(archive) == archive


def test_archive_of_other_bytes_is_refused(tmp_path: Path) -> None:
    archive, _ = pack(make_cub(tmp_path), tmp_path / "CUB_200_2011.tgz")
    with pytest.raises(DataError, match=r"CUB_200_2011\.tgz has MD5 .*published is 97eceeb1.*give its folder"):
        prepare("cub200", tmp_path / "data", 16, archive)


def test_fewer_images_or_classes_than_official_are_refused(tmp_path: Path) -> None:
    folder = make_cub(tmp_path)
    with pytest.raises(DataError, match=r"classes\.txt names 2 classes, not the 200"):
        prepare("cub200", tmp_path / "data", 16, folder)
    with pytest.raises(DataError, match=r"its lists hold .*'train': 3, 'test': 2.*official are .*5994"):
        SMALL._replace(num_images=CUB200.num_images).source(folder, request(tmp_path))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("images.txt", "1 001.Auk/a.jpg", "1 ../../secret.jpg", r"images\.txt, image 1: .*leads out of the folder"),
        ("images.txt", "2 001", "1 001", r"images\.txt, line 2: .*is not a new number"),
        ("train_test_split.txt", "5 1\n", "", r"train_test_split\.txt and images\.txt disagree on image 5"),
        ("bounding_boxes.txt", "3 10.0", "3 ten", r"image 3: could not convert"),
        ("bounding_boxes.txt", "3 10.0 5.0", "3 10.0", r"bounding_boxes\.txt, line 3: .*4 field"),
        ("classes.txt", "2 ", "3 ", r"classes\.txt names 2 classes, not the 2 from 1 to 2"),
    ],
)
def test_lists_that_do_not_fit_are_named(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    path = make_cub(tmp_path) / file
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    with pytest.raises(DataError, match=message):
        SMALL.source(path.parent, request(tmp_path))


def test_missing_list_is_named(tmp_path: Path) -> None:
    folder = make_cub(tmp_path)
    (folder / "bounding_boxes.txt").unlink()
    with pytest.raises(DataError, match=r"bounding_boxes\.txt cannot be read"):
        SMALL.source(folder, request(tmp_path))


@pytest.mark.parametrize("fault", ["broken", "absent", "box", "label"])
def test_bad_bird_is_named_or_skipped(tmp_path: Path, fault: str) -> None:
    folder = make_cub(tmp_path)
    bird, label, box = folder / "images" / NAMES[2], folder / "image_class_labels.txt", folder / "bounding_boxes.txt"
    if fault == "broken":
        bird.write_bytes(bird.read_bytes()[:60])
    elif fault == "absent":
        bird.unlink()
    elif fault == "box":
        box.write_text(box.read_text().replace("3 10.0", "3 50.0"))
    else:
        label.write_text(label.read_text().replace("3 2\n", "3 3\n"))
    message = {"broken": "cannot be decoded", "absent": "cannot be read", "box": "holds no pixel", "label": "label 2"}
    with pytest.raises(DataError, match=rf"image 3.*{message[fault]}.*--skip-bad"):
        list(SMALL.source(folder, request(tmp_path, 16)).chunks("train"))
    skipping = request(tmp_path, 16, skip=True)
    (train,) = SMALL.source(folder, skipping).chunks("train")
    assert train.labels_N.tolist() == [0, 1]
    assert len(skipping.bad_rows.found) == 1


def test_parquet_is_cropped_by_the_boxes_of_its_metadata(tmp_path: Path) -> None:
    for split in ("train", "test"):
        path = write_parquet(tmp_path / f"{split}.parquet", [encode(photo(i)) for i in range(3)], [0, 1, 0], ["a", "b"])
        table = pq.read_table(path)
        boxes = json.dumps({f"{i}.png": BOX for i in range(2)})
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, "bounding_boxes": boxes}), path)
    with pytest.raises(DataError, match=r"train\.parquet, row 2: metadata 'bounding_boxes' has none for '2\.png'"):
        list(parquet_source("birds", tmp_path, request(tmp_path, 16)).chunks("train"))
    (piece,) = parquet_source("birds", tmp_path, request(tmp_path, 16, skip=True)).chunks("train")
    assert len(piece.images_NHWC) == 2
    assert np.all(piece.images_NHWC == 200)


def test_real_birds_are_prepared_from_their_boxes(tmp_path: Path) -> None:
    store = prepare("cub200", tmp_path, 64, real_data("cub200"))
    assert {split: len(arrays.labels_N) for split, arrays in store.splits.items()} == {"train": 240, "test": 184}
    table = pq.read_table(real_data("cub200") / "test.parquet")
    record = table.column("image")[7].as_py()
    left, top, width, height = json.loads(table.schema.metadata[b"bounding_boxes"])[record["path"]]
    bird = Image.open(io.BytesIO(record["bytes"])).convert("RGB").crop((left, top, left + width, top + height))
    expected = bird.resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(store.splits["test"].images_NHWC[7], np.asarray(expected))
