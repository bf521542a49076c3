"""Images are turned upright as their EXIF orientation says, in every format that stores one."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.images import STORED, encode, pixels, with_orientation, write_parquet
from trainables.data.prepare import prepare
from trainables.data.sources.pixels import decode_image

UPRIGHT = np.kron(pixels(1, 4)[0], np.ones((8, 8, 1), np.uint8))
"""32 x 32 in blocks, so that JPEG changes little."""


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_all_eight_orientations_show_one_picture(kind: str, orientation: int) -> None:
    remarks = Counter[str]()
    shown = decode_image(with_orientation(UPRIGHT, orientation, kind), 32, remarks=remarks)
    assert np.abs(shown.astype(int) - UPRIGHT).max() <= (8 if kind == "JPEG" else 0)
    assert remarks == ({} if orientation == 1 else {"turned upright, as the EXIF orientation says": 1})


def test_the_eight_are_eight_ways_to_store_it() -> None:
    assert len({with_orientation(UPRIGHT, orientation) for orientation in STORED}) == 8
    assert len({np.ascontiguousarray(store(UPRIGHT)).tobytes() for store in STORED.values()}) == 8


def test_a_prepared_data_set_is_upright_and_says_so(tmp_path: Path) -> None:
    stored = [with_orientation(UPRIGHT, orientation) for orientation in STORED]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"in/{split}.parquet", stored, [0, 1] * 4, ["a", "b"])
    store = prepare("turned", tmp_path / "data", 32, tmp_path / "in")
    assert all(np.array_equal(image, UPRIGHT) for image in store.splits["train"].images_NHWC)
    assert "turned upright, as the EXIF orientation says: 14 images" in store.notes


def test_a_wide_image_is_turned_before_it_is_made_square() -> None:
    wide = np.kron(pixels(1, 8)[0][:4], np.ones((4, 4, 1), np.uint8))
    expected = Image.fromarray(wide).resize((12, 12), Image.Resampling.BILINEAR)
    assert np.array_equal(decode_image(with_orientation(wide, 6), 12), np.asarray(expected))


@pytest.mark.parametrize("orientation", STORED)
def test_a_box_counts_in_the_stored_image(orientation: int) -> None:
    stored = STORED[orientation](UPRIGHT)
    crop = decode_image(with_orientation(UPRIGHT, orientation), 8, (8, 16, 8, 8))
    same = encode(np.ascontiguousarray(stored[16:24, 8:16]))
    assert {tuple(crop[0, 0]), tuple(crop[7, 7])} == {tuple(decode_image(same, 8)[0, 0])}


def test_a_box_on_a_turned_tiff_is_refused() -> None:
    assert decode_image(with_orientation(UPRIGHT, 1, "TIFF"), 8, (0, 0, 8, 8)).shape == (8, 8, 3)
    with pytest.raises(ValueError, match="TIFF with an orientation cannot be cropped to a box"):
        decode_image(with_orientation(UPRIGHT, 6, "TIFF"), 8, (0, 0, 8, 8))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x01", b"nonsense"]
)
def test_a_damaged_orientation_changes_nothing(exif: bytes) -> None:
    for kind in ("PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert np.array_equal(decode_image(encode(UPRIGHT, kind, exif=exif, **options), 32), UPRIGHT)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode_image(encode(UPRIGHT, exif=exif), 32), UPRIGHT)
