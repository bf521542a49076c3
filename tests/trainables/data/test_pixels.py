"""Boxes are cropped at whole pixels and clipped to the image."""

import numpy as np
import pytest

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
