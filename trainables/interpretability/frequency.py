"""Frequency modifications of §4.4: keep the part of an image inside, or outside, a disc of low frequencies.

Radii follow Wang et al. 2020: distances from the zero-frequency bin of a 32 x 32 spectrum, in bins; low is distance < r
(strict), high its complement. At another image size the same radius means the same frequency in cycles per pixel
(r/32), that is r * size / 32 bins; unscaled, r = 12 would keep every bin of a 16 x 16 image.

B images, H W image size, C channels; images are raw uint8 in 0..255.
"""

from typing import Literal

import torch
from torch import Tensor

REFERENCE_SIZE = 32
"""Image size that the radii refer to."""

FLAT_CHANNEL_RANGE = 1e-6
"""Grey levels; under `minmax` a channel with a smaller range, which is rounding noise, becomes 0."""


def frequency_parts(images_BHWC: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """The low and the high part of each channel, float64 (B, H, W, C); their sum is the image."""
    images_BCHW = images_BHWC.permute(0, 3, 1, 2).double()
    height, width = images_BCHW.shape[-2:]
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)[None, :]
    # Squared distances in bins of the reference size are exact whole numbers, so that `<` is strict at the rim.
    inside = (REFERENCE_SIZE * rows) ** 2 + (REFERENCE_SIZE * columns) ** 2 < radius**2
    low_BCHW = torch.fft.irfft2(torch.fft.rfft2(images_BCHW) * inside, s=(height, width))
    low, high = low_BCHW, images_BCHW - low_BCHW
    return low.permute(0, 2, 3, 1), high.permute(0, 2, 3, 1)


def keep_frequencies(
    images_BHWC: Tensor, radius: float, part: Literal["low", "high"], filtered_range: Literal["minmax", "clip"]
) -> Tensor:
    """One part as uint8 images.

    `minmax` scales each image and channel to 0..255 (as the released code's loader; a constant channel becomes 0).
    `clip` clips to 0..255, which cuts off about half of the high part, because its mean is zero.
    """
    low, high = frequency_parts(images_BHWC, radius)
    kept_BHWC = low if part == "low" else high
    if filtered_range == "minmax":
        lowest = kept_BHWC.amin(dim=(1, 2), keepdim=True)
        span = kept_BHWC.amax(dim=(1, 2), keepdim=True) - lowest
        kept_BHWC = (kept_BHWC - lowest) * (255 / span.clamp_min(FLAT_CHANNEL_RANGE))
    return kept_BHWC.round().clamp(0, 255).to(torch.uint8).contiguous()
