"""Every fault of a Parquet source gives a message that names file and row."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.images import encode, parquet_folder, pixels, real_data, request, write_columns, write_parquet
from trainables.data.sources import parquet as parquet_module
from trainables.data.sources.parquet import parquet_source
from trainables.data.sources.pixels import MAX_BYTES, decode_image
from trainables.errors import DataError


def read(folder: Path, name: str = "mine", size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    pieces = list(parquet_source(name, folder, request(folder, size)).chunks("train"))
    return np.concatenate([p.images_NHWC for p in pieces]), np.concatenate([p.labels_N for p in pieces])


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_shards_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path)
    whole, _ = read(folder)
    (folder / "train.parquet").unlink()
    images = [encode(image) for image in pixels(20)]
    write_parquet(folder / "train-00001-of-2.parquet", images[12:], [1] * 8, plain=True)
    write_parquet(folder / "train-00000-of-2.parquet", images[:12], [0] * 12, plain=True)
    sharded, labels = read(folder)
    assert np.array_equal(sharded, whole)
    assert labels.tolist() == [0] * 12 + [1] * 8


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("mine", ["a", "b", "c"], ("a", "b", "c")),
        ("mine", None, ("0", "1")),
        ("svhn", None, tuple("0123456789")),
        ("cifar100", None, tuple(map(str, range(100)))),
    ],
)
def test_class_names_come_from_metadata_then_catalogue_then_labels(
    tmp_path: Path, name: str, names: list[str] | None, expected: tuple[str, ...]
) -> None:
    assert parquet_source(name, parquet_folder(tmp_path, names=names), request(tmp_path, 8)).class_names == expected


def test_other_sizes_are_resized_bilinearly_and_other_modes_made_rgb(tmp_path: Path) -> None:
    grey = np.full((20, 30), 77, np.uint8)
    assert np.array_equal(decode_image(encode(grey), 8), np.full((8, 8, 3), 77))
    image = pixels(1, 24)[0]
    expected = Image.fromarray(image).resize((8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(decode_image(encode(image), 8), np.asarray(expected))


GOOD = encode(pixels(1)[0])
BROKEN = GOOD[:60] + bytes([GOOD[60] ^ 0x10]) + GOOD[61:]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "the image is null"),
        (b"", "no bytes"),
        (b"GIF89a not really", "cannot be decoded"),
        (GOOD[:100], "cannot be decoded"),
        (BROKEN, "cannot be decoded"),
        (png_claiming(20_000, 5_000), r"claims 20000 x 5000 pixels, allowed are 50,000,000"),
        (png_claiming(60_000, 60_000), "too large"),
        (encode(np.zeros((4, 4), np.uint16)), "has mode I;16"),
    ],
    ids=["null", "empty", "unknown", "truncated", "flipped", "huge", "bomb", "16-bit"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_image_names_file_and_row(tmp_path: Path, record: bytes | None, message: str) -> None:
    folder = parquet_folder(tmp_path)
    records: list[bytes | None] = [GOOD] * 300
    records[277] = record
    write_parquet(folder / "train.parquet", records, [0, 1] * 150)
    with pytest.raises(DataError, match=rf"train\.parquet, row 277: .*{message}"):
        read(folder)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1, 2], r"row 2: label 2 is out of range.*0 to 1"), ([0, -1, 1], "row 1: label -1"), ([0, 1, None], "row 2")],
)
def test_bad_label_names_file_and_row(tmp_path: Path, labels: list[int | None], message: str) -> None:
    folder = parquet_folder(tmp_path, names=["a", "b"])
    write_parquet(folder / "test.parquet", [GOOD] * 3, labels, ["a", "b"])
    with pytest.raises(DataError, match=rf"test\.parquet, {message}" if "row" in message else message):
        parquet_source("mine", folder, request(tmp_path, 8))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"photo": [GOOD], "label": [0]}, "no column 'image'.*its columns: photo, label"),
        ({"image": [GOOD]}, "no column 'label'"),
        ({"image": ["text"], "label": [0]}, "column 'image' is of type string"),
        ({"image": [{"path": "x"}], "label": [0]}, "column 'image' is of type struct"),
        ({"image": [GOOD], "label": [True]}, "column 'label' is of type bool; it must hold whole numbers or text"),
        ({"image": [GOOD], "label": [[0]]}, "column 'label' is of type list"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    folder = parquet_folder(tmp_path)
    pq.write_table(pa.table(columns), folder / "train.parquet")
    with pytest.raises(DataError, match=rf"train\.parquet.*{message}"):
        parquet_source("mine", folder, request(tmp_path, 8))


def test_missing_split_disagreeing_classes_and_bad_metadata_are_named(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path, names=["a", "b"])
    write_parquet(folder / "test.parquet", [GOOD], [0], ["b", "a"])
    with pytest.raises(DataError, match="name different classes"):
        parquet_source("mine", folder, request(tmp_path, 8))
    table = pq.read_table(folder / "train.parquet").replace_schema_metadata({"class_names": "a, b"})
    pq.write_table(table, folder / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet.*not a JSON list"):
        parquet_source("mine", folder, request(tmp_path, 8))
    (folder / "test.parquet").unlink()
    with pytest.raises(DataError, match=r"no test\.parquet and no test-\*\.parquet"):
        parquet_source("mine", folder, request(tmp_path, 8))


def test_a_file_of_too_many_rows_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a megabyte can declare billions of equal labels, which would fill the memory."""
    monkeypatch.setattr(parquet_module, "MAX_ROWS", 19)
    with pytest.raises(DataError, match=r"train\.parquet claims 20 rows, allowed are 19"):
        parquet_source("mine", parquet_folder(tmp_path), request(tmp_path, 8))


def test_an_image_of_more_bytes_than_any_image_is_a_bad_row(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path)
    write_parquet(folder / "train.parquet", [GOOD, GOOD + b"\0" * MAX_BYTES, GOOD], [0, 1, 0])
    with pytest.raises(DataError, match=r"train\.parquet, row 1: the image has 67,\d{3},\d{3} bytes"):
        read(folder)


@pytest.mark.parametrize("key", ["class_names", "bounding_boxes"])
def test_metadata_nested_without_end_is_refused(tmp_path: Path, key: str) -> None:
    folder = parquet_folder(tmp_path)
    table = pq.read_table(folder / "train.parquet").replace_schema_metadata({key: "[" * 100_000})
    pq.write_table(table, folder / "train.parquet")
    with pytest.raises(DataError, match=rf"train\.parquet: metadata '{key}' is not"):
        parquet_source("mine", folder, request(tmp_path, 8))


def test_damaged_file_is_named(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path)
    path = folder / "train.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    with pytest.raises(DataError, match=r"train\.parquet is not a readable Parquet file"):
        parquet_source("mine", folder, request(tmp_path, 8))
    path.write_bytes(b"\0" * 400 + content[400:])
    with pytest.raises(DataError, match=r"train\.parquet"):
        read(folder)


def test_real_cifar10_keeps_pixels_labels_and_order(tmp_path: Path) -> None:
    table = pq.read_table(real_data("cifar10") / "test.parquet").slice(0, 500)
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / f"{split}.parquet")
    images, labels = read(tmp_path, "cifar10", 32)
    assert labels.tolist() == table.column("label").to_pylist()
    for i in (0, 255, 256, 499):
        encoded = table.column("image")[i].as_py()["bytes"]
        assert np.array_equal(images[i], np.asarray(Image.open(io.BytesIO(encoded))))


@pytest.mark.parametrize(("image", "label"), [("img", "label"), ("image", "fine_label"), ("img", "labels")])
def test_columns_may_have_the_names_that_hub_data_sets_use(tmp_path: Path, image: str, label: str) -> None:
    records = [{"bytes": encode(one), "path": "x"} for one in pixels(4)]
    for split in ("train", "test"):
        write_columns(tmp_path / f"{split}.parquet", **{image: records, "coarse_label": [5] * 4, label: [0, 1, 0, 1]})
    asked = request(tmp_path, 8)
    (piece,) = parquet_source("mine", tmp_path, asked).chunks("train")
    assert np.array_equal(piece.images_NHWC, pixels(4))
    assert piece.labels_N.tolist() == [0, 1, 0, 1]
    assert "columns that were not read: coarse_label" in asked.notes.lines()


@pytest.mark.parametrize("struct", [False, True])
def test_view_types_are_read_like_plain_ones(tmp_path: Path, struct: bool) -> None:
    plain = [encode(one) for one in pixels(4)]
    images = pa.array(plain, pa.binary_view())
    if struct:
        kind = pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])
        images = pa.array([{"bytes": one, "path": f"{i}.png"} for i, one in enumerate(plain)], kind)
    for split in ("train", "test"):
        boxes = {"bounding_boxes": json.dumps({f"{i}.png": [0, 0, 8, 8] for i in range(4)})} if struct else None
        write_columns(
            tmp_path / f"{split}.parquet", boxes, image=images, label=pa.array(list("abab"), pa.string_view())
        )
    found, labels = read(tmp_path)
    assert np.array_equal(found, pixels(4))
    assert labels.tolist() == [0, 1, 0, 1]
