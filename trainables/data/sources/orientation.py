"""Finds the turn that shows an image upright, from the EXIF orientation that cameras and phones store."""

from PIL import ExifTags, Image

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_upright(image: Image.Image) -> Image.Transpose | None:
    """The turn that an image needs; None if it is stored upright, or says nothing that can be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises errors of many types for a damaged block; the pixels are intact.
        return None
    return _TURNS.get(value) if isinstance(value, int) else None
