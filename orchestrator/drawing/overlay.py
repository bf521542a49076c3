"""Overlays: one image in grey with its attention map as heat over it.

Legend: H, W of the image, h, w of the map, C colour channels.
"""

import io

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from trainables.interpretability.consistency import minmax_scale

_HEAT_SHARE = 0.65
"""Share of heat in the overlay. The rest is the grey image at half its contrast, so that brightness means heat."""


def overlay_png(image_HWC: NDArray[np.uint8], map_hw: NDArray[np.float32], min_side_px: int = 256) -> bytes:
    """A PNG of the image and, beside it, its overlay; each side is at least `min_side_px`.

    The map is stretched to its own range; dark means least attention, and a flat map is dark everywhere.
    """
    buffer = io.BytesIO()
    enlarged = Image.fromarray(image_HWC).resize(enlarged_size(image_HWC, min_side_px), Image.Resampling.NEAREST)
    pair = np.concatenate([np.asarray(enlarged), overlay(image_HWC, map_hw, min_side_px)], axis=1)
    Image.fromarray(pair).save(buffer, format="PNG")
    return buffer.getvalue()


def overlay(image_HWC: NDArray[np.uint8], map_hw: NDArray[np.float32], min_side_px: int) -> NDArray[np.uint8]:
    """Draws the image in grey with its attention map as heat over it, both enlarged by a whole factor."""
    size = enlarged_size(image_HWC, min_side_px)
    grey = np.asarray(Image.fromarray(image_HWC).convert("L").resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    cells = minmax_scale(torch.from_numpy(np.array(map_hw, dtype=np.float64))[None]).reshape(map_hw.shape).numpy()
    heat = np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    colors_HWC = matplotlib.colormaps["inferno"](heat)[..., :3] * 255
    mixed = (1 - _HEAT_SHARE) * (64 + grey[..., None] / 2) + _HEAT_SHARE * colors_HWC
    return np.asarray(mixed.round().clip(0, 255), dtype=np.uint8)


def enlarged_size(image_HWC: NDArray[np.uint8], min_side_px: int) -> tuple[int, int]:
    """(width, height) enlarged by the smallest whole factor that makes each side at least `min_side_px`."""
    height, width = image_HWC.shape[:2]
    factor = -(-min_side_px // min(height, width))
    return width * factor, height * factor
