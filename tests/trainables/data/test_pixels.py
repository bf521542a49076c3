"""Decoding single images: formats, boxes, and what is changed or left out on the way."""

import contextlib
import struct
import zlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.images import encode, pixels
from trainables.data.sources.pixels import decode_image, resize_images

IMAGE = pixels(1, 12)[0]


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((2.0, 3.0, 8.0, 8.0), slice(3, 11), slice(2, 10)),
        ((1.6, 3.4, 8.0, 8.0), slice(3, 11), slice(2, 10)),
        ((-3.0, 4.0, 11.0, 100.0), slice(4, 12), slice(0, 8)),
    ],
)
def test_box_is_rounded_and_kept_inside(box: tuple[float, ...], rows: slice, columns: slice) -> None:
    assert np.array_equal(decode_image(encode(IMAGE), 8, box), IMAGE[rows, columns])


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((12.0, 0.0, 5.0, 5.0), "holds no pixel of the image, which has 12 x 12"),
        ((3.0, 3.0, 0.0, 5.0), "holds no pixel"),
        ((3.0, 3.0, -2.0, 5.0), "holds no pixel"),
        ((float("nan"), 0.0, 1.0, 1.0), "is not left, top, width, height"),
        ((0.0, 0.0, float("inf"), 1.0), "is not left, top, width, height"),
        ((1.0, 2.0, 3.0), "is not left, top, width, height"),
        (("a", 0, 1, 1), "is not left, top, width, height"),
    ],
)
def test_box_beside_the_image_is_refused(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_image(encode(IMAGE), 8, box)


def test_images_of_the_right_size_are_left_as_they_are() -> None:
    images = pixels(3, 8)
    assert np.array_equal(resize_images(images, 8), images)
    assert resize_images(images[:0], 16).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}])
def test_a_tiff_of_one_page_is_read(options: dict[str, Any]) -> None:
    remarks = Counter[str]()
    assert np.array_equal(decode_image(encode(IMAGE, "TIFF", **options), 12, remarks=remarks), IMAGE)
    assert not remarks


def test_a_gif_of_one_frame_is_read() -> None:
    few = np.kron(pixels(1, 3)[0], np.ones((4, 4, 1), np.uint8))
    assert np.array_equal(decode_image(encode(few, "GIF"), 12), few)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames_or_pages_are_refused(kind: str) -> None:
    more = [Image.fromarray(image) for image in pixels(2, 12, seed=1)]
    with pytest.raises(ValueError, match="an animation of several frames, or has several pages; give one of them"):
        decode_image(encode(IMAGE, kind, save_all=True, append_images=more), 12)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32), ("TIFF", np.float32)]
)
def test_grey_of_more_than_8_bits_is_refused(kind: str, dtype: type) -> None:
    with pytest.raises(
        ValueError, match=r"has mode (I;16|I|F) \(more than 8 bits a value\); allowed: 8-bit grey or colour"
    ):
        decode_image(encode(np.ones((12, 12), dtype), kind), 12)


def test_16_bit_colour_keeps_its_upper_bits_and_says_so() -> None:
    remarks = Counter[str]()
    shown = decode_image(deep_png(bytes([1, 255, 2, 255, 3, 255])), 8, remarks=remarks)
    assert (shown == (1, 2, 3)).all()
    assert remarks == {"lower 8 of 16 bits a channel left out": 1}


def test_transparency_that_is_left_out_is_said() -> None:
    for alpha, said in ((255, {}), (254, {"transparency left out": 1})):
        remarks = Counter[str]()
        opaque = np.dstack([IMAGE, np.full((12, 12), 255, np.uint8)])
        opaque[3, 3, 3] = alpha
        assert np.array_equal(decode_image(encode(opaque), 12, remarks=remarks), IMAGE)
        assert remarks == said
    remarks = Counter[str]()
    decode_image(encode(IMAGE, "GIF", transparency=0), 12, remarks=remarks)
    assert remarks == {"transparency left out": 1}


def test_further_pictures_of_a_phone_are_left_out_and_said() -> None:
    remarks = Counter[str]()
    depth = [Image.fromarray(pixels(1, 12, seed=1)[0])]
    decode_image(encode(IMAGE, "MPO", save_all=True, append_images=depth), 12, remarks=remarks)
    assert remarks == {"further pictures in the file, such as a depth map, left out": 1}


def test_a_refused_image_leaves_no_remark() -> None:
    remarks = Counter[str]()
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_image(encode(IMAGE, exif=exif)[:-40], 12, remarks=remarks)
    assert not remarks


def test_a_tiff_of_gigabyte_tiles_is_refused_before_it_is_decoded() -> None:
    assert (decode_image(tiled_tiff(16), 16) == 7).all()
    with pytest.raises(ValueError, match="claims tiles of 900,000,000 pixels, allowed are 50,000,000"):
        decode_image(tiled_tiff(30_000), 16)


def test_a_damaged_file_of_any_format_is_a_bad_image_and_no_crash() -> None:
    """Damage makes Pillow raise errors of many types, such as a TypeError for a TIFF with an offset that is a float."""
    float_offset = bytearray(encode(IMAGE, "TIFF"))
    start = struct.unpack_from("<I", float_offset, 4)[0] + 2
    for entry in range(start, start + 12 * struct.unpack_from("<H", float_offset, start - 2)[0], 12):
        if struct.unpack_from("<H", float_offset, entry)[0] == 273:
            struct.pack_into("<HIf", float_offset, entry + 2, 11, 1, 8.0)
    with pytest.raises(ValueError, match=r"cannot be decoded \(.*; allowed: PNG, JPEG, WEBP, BMP, GIF, TIFF"):
        decode_image(bytes(float_offset), 8)
    rng = np.random.default_rng(0)
    for whole in (encode(IMAGE, "GIF"), encode(IMAGE, "TIFF"), encode(IMAGE, "TIFF", compression="tiff_lzw")):
        for _ in range(300):
            damaged = bytearray(whole)
            damaged[int(rng.integers(len(whole)))] = int(rng.integers(256))
            with contextlib.suppress(ValueError):
                assert decode_image(bytes(damaged), 8).shape == (8, 8, 3)


def deep_png(colour: bytes) -> bytes:
    """An 8 x 8 PNG of one 16-bit colour (6 bytes), which Pillow reads but does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + colour * 8) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiled_tiff(tile: int) -> bytes:
    """A grey 16 x 16 TIFF in one compressed tile that claims a side of `tile` pixels; whole for 16."""
    content = zlib.compress(b"\7" * 16**2)
    tags = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile), (324, 8)]
    tags.append((325, len(content)))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + directory + struct.pack("<I", 0)
