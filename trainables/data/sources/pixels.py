"""Decodes one untrusted image, crops it to a box and resizes it to a square."""

import io
import math
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

MAX_BYTES = 64 * 2**20
"""Larger files are refused before they are read."""
MAX_PIXELS = 50_000_000
"""Larger images are refused before they are decoded: a file of a few kB can declare gigapixels."""
MAX_SCANS = 100
"""A progressive JPEG has about ten scans. Each scan costs a pass over all pixels."""
_START_OF_SCAN = b"\xff\xda"
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
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


def decode_image(encoded: bytes | None, image_size: int, box: Sequence[float] | None = None) -> np.ndarray:
    """Decodes one image to uint8 RGB (image_size, image_size, 3); a ValueError says why it cannot be used.

    Crops to `box` (left, top, width, height in pixels) first, rounded to whole pixels and clipped to the image.
    """
    if not encoded:
        raise ValueError("the image is null" if encoded is None else "the image has no bytes")
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"the image has {len(encoded):,} bytes, allowed are {MAX_BYTES:,}")
    try:
        # Only formats that Pillow decodes without external programs. The user cannot act on Pillow's warnings: sizes
        # that we refuse anyway, and dropped transparency.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            _check_header(image, encoded)
            image.load()
            rgb = image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise ValueError(f"the image is too large: {error}") from error
    except (OSError, SyntaxError, EOFError, MemoryError, OverflowError, struct.error) as error:
        raise ValueError(f"the image cannot be decoded ({error}); allowed: {', '.join(_FORMATS)}") from error
    if box is not None:
        rgb = rgb.crop(_inside(box, rgb.size))
    if rgb.size != (image_size, image_size):
        rgb = rgb.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _check_header(image: Image.Image, encoded: bytes) -> None:
    """ValueError for an image that would take too much time or memory, or whose pixels would be misread."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"the image claims {width} x {height} pixels, allowed are {MAX_PIXELS:,}")
    if image.mode not in _MODES:
        raise ValueError(f"the image has mode {image.mode}; allowed: 8-bit grey or colour")
    # A JPEG's further frames are a phone's depth map or preview; they are skipped.
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"the image is an animation of {getattr(image, 'n_frames', 1)} frames; give one of them")
    if image.format in ("JPEG", "MPO") and encoded.count(_START_OF_SCAN) > MAX_SCANS:
        raise ValueError(f"the image has {encoded.count(_START_OF_SCAN):,} scans, allowed are {MAX_SCANS}")


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
