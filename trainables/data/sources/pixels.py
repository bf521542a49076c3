"""Decodes one untrusted image, turns it upright, crops it to a box and resizes it to a square."""

import io
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from trainables.data.sources.orientation import turn_upright

MAX_BYTES = 64 * 2**20
"""Larger files are refused before they are read."""
MAX_PIXELS = 50_000_000
"""Larger images are refused before they are decoded: a file of a few kB can declare gigapixels."""
MAX_SCANS = 100
"""A progressive JPEG has about ten scans. Each scan costs a pass over all pixels."""
_TIFF_TILE = (322, 323)
"""Tags of a tile's width and length. The decoder makes room for a whole tile."""
_START_OF_SCAN = b"\xff\xda"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that Pillow decodes without external programs."""
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def read_encoded(path: Path) -> bytes:
    """An image file's bytes; ValueError if it is not a plain file or is too large, OSError if it cannot be read."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there") if not path.exists() else ValueError("it is no plain file")
    with path.open("rb") as file:
        encoded = file.read(MAX_BYTES + 1)
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    return encoded


def decode_image(
    encoded: bytes | None, image_size: int, box: Sequence[float] | None = None, remarks: Counter[str] | None = None
) -> np.ndarray:
    """Decodes one image to uint8 RGB (image_size, image_size, 3); a ValueError says why it cannot be used.

    Crops to `box` (left, top, width, height in pixels of the stored image), rounded to whole pixels and clipped to the
    image. Then turns the image upright as its EXIF orientation says. Counts in `remarks` what it changed or left out.
    """
    if not encoded:
        raise ValueError("the image is null" if encoded is None else "the image has no bytes")
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"the image has {len(encoded):,} bytes, allowed are {MAX_BYTES:,}")
    said = Counter[str]()
    try:
        # The user cannot act on Pillow's warnings: they are about sizes that we refuse anyway, and about transparency.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            _check_header(image, encoded)
            rgb = _upright(image, box, said)
    except Image.DecompressionBombError as error:
        raise ValueError(f"the image is too large: {error}") from error
    except UnidentifiedImageError:
        # Pillow's message names the object in memory that it read from.
        raise ValueError(f"the image cannot be decoded (no known format); allowed: {', '.join(FORMATS)}") from None
    except ValueError:
        raise
    except Exception as error:  # Pillow raises errors of many types for a damaged image.
        raise ValueError(f"the image cannot be decoded ({error}); allowed: {', '.join(FORMATS)}") from error
    if rgb.size != (image_size, image_size):
        rgb = rgb.resize((image_size, image_size), Image.Resampling.BILINEAR)
    if remarks is not None:
        remarks.update(said)
    return np.asarray(rgb)


def _check_header(image: Image.Image, encoded: bytes) -> None:
    """ValueError for an image that would take too much time or memory, or whose pixels would be misread."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"the image claims {width} x {height} pixels, allowed are {MAX_PIXELS:,}")
    tile_pixels = math.prod(getattr(image, "tag_v2", {}).get(tag, 1) for tag in _TIFF_TILE)
    if tile_pixels > MAX_PIXELS:
        raise ValueError(f"the image claims tiles of {tile_pixels:,} pixels, allowed are {MAX_PIXELS:,}")
    if image.mode not in _MODES:
        deep = " (more than 8 bits a value)" if image.mode.startswith(("I", "F")) else ""
        raise ValueError(f"the image has mode {image.mode}{deep}; allowed: 8-bit grey or colour")
    # A JPEG's further frames are a phone's depth map or preview; they are skipped.
    if image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False):
        raise ValueError("the image is an animation of several frames, or has several pages; give one of them")
    if image.format in ("JPEG", "MPO") and encoded.count(_START_OF_SCAN) > MAX_SCANS:
        raise ValueError(f"the image has {encoded.count(_START_OF_SCAN):,} scans, allowed are {MAX_SCANS}")


def _upright(image: ImageFile.ImageFile, box: Sequence[float] | None, remarks: Counter[str]) -> Image.Image:
    """Decodes an opened image to RGB, cropped and upright."""
    turned = "turned upright, as the EXIF orientation says"
    if image.format == "TIFF" and turn_upright(image) is not None:
        # Pillow turns a TIFF while it loads it.
        if box is not None:
            raise ValueError("a TIFF with an orientation cannot be cropped to a box; store it upright")
        remarks[turned] += 1
    if image.format in ("PNG", "TIFF") and any(";16" in f"{tile[3]}" for tile in image.tile):
        remarks["lower 8 of 16 bits a channel left out"] += 1
    if image.format == "MPO":
        remarks["further pictures in the file, such as a depth map, left out"] += 1
    image.load()
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        remarks["transparency left out"] += 1
    rgb = image.convert("RGB")
    if box is not None:
        rgb = rgb.crop(_inside(box, rgb.size))
    # Only now, because a PNG may store the orientation after its pixels.
    turn = None if image.format == "TIFF" else turn_upright(image)
    if turn is None:
        return rgb
    remarks[turned] += 1
    return rgb.transpose(turn)


def resize_images(images_NHWC: np.ndarray, image_size: int) -> np.ndarray:
    """Resizes uint8 RGB images to squares bilinearly; returns the same array if they already have this side."""
    if images_NHWC.shape[1:3] == (image_size, image_size):
        return np.ascontiguousarray(images_NHWC)
    resized_NHWC = np.empty((len(images_NHWC), image_size, image_size, 3), np.uint8)
    for i, image_HWC in enumerate(images_NHWC):
        image = Image.fromarray(np.ascontiguousarray(image_HWC))
        resized_NHWC[i] = np.asarray(image.resize((image_size, image_size), Image.Resampling.BILINEAR))
    return resized_NHWC


def _inside(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    if len(box) != 4 or not all(isinstance(side, int | float) and math.isfinite(side) for side in box):
        raise ValueError(f"the box {list(box)} is not left, top, width, height in pixels")
    left, top, width, height = box
    edges = (
        max(0, round(left)),
        max(0, round(top)),
        min(size[0], round(left + width)),
        min(size[1], round(top + height)),
    )
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise ValueError(f"the box {list(box)} holds no pixel of the image, which has {size[0]} x {size[1]}")
    return edges
