import io

import numpy as np
import pytest
from PIL import Image

from orchestrator.drawing.overlay import overlay_png

RAMP = np.tile(np.linspace(0.5, 0.9, 8, dtype=np.float32), (8, 1))


@pytest.mark.parametrize(
    ("shape", "expected"), [((32, 32), (512, 256)), ((20, 30), (780, 260)), ((300, 300), (600, 300))]
)
def test_overlay_is_a_readable_png_that_is_brightest_where_attention_is_highest(
    shape: tuple[int, int], expected: tuple[int, int]
):
    image = np.full((*shape, 3), 100, dtype=np.uint8)
    picture = Image.open(io.BytesIO(overlay_png(image, RAMP)))
    assert picture.format == "PNG"
    assert picture.size == expected
    half = expected[0] // 2
    assert (np.asarray(picture)[:, :half] == 100).all()
    luminance = np.asarray(picture.convert("L"), dtype=float)[:, half:]
    assert luminance[:, -20:].mean() > luminance[:, :20].mean() + 60


def test_overlay_of_a_flat_map_is_even():
    picture = Image.open(io.BytesIO(overlay_png(np.full((32, 32, 3), 90, dtype=np.uint8), np.full((8, 8), 0.9))))
    heat = np.asarray(picture)[:, picture.width // 2 :]
    assert len(np.unique(heat.reshape(-1, 3), axis=0)) == 1
