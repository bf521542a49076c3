"""Spatial modifications of §4.4: a p x p window covered by one colour, or by another image.

B images, M occluders, H W image size, C channels, p window side in pixels. Images are raw uint8, before normalisation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.errors import ConfigError


def occlude_with_color(images_BHWC: Tensor, size_px: int, generator: torch.Generator) -> Tensor:
    """Covers one window per image with one colour, uniform over RGB, at a uniform position fully inside.

    A window as large as the image covers all of it. Raises ConfigError for a larger window.
    """
    colors_BC = torch.randint(0, 256, (images_BHWC.shape[0], images_BHWC.shape[3]), generator=generator)
    patches = colors_BC.to(torch.uint8)[:, None, None, :].expand(-1, size_px, size_px, -1)
    return _paste(images_BHWC, patches, generator)


def occlude_with_images(
    images_BHWC: Tensor, size_px: int, occluders_MHWC: Tensor, generator: torch.Generator
) -> Tensor:
    """Covers one window per image with a random occluder resized to p x p, at a uniform position fully inside.

    The resize is bilinear and antialiased, so that a 4 x 4 window shows the whole occluder.
    Raises ConfigError for a window larger than the image.
    """
    chosen_B = torch.randint(0, occluders_MHWC.shape[0], (images_BHWC.shape[0],), generator=generator)
    occluders_BCHW = occluders_MHWC[chosen_B].permute(0, 3, 1, 2).float()
    resized = F.interpolate(occluders_BCHW, (size_px, size_px), mode="bilinear", antialias=True)
    patches = resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return _paste(images_BHWC, patches, generator)


def require_window_fits(size_px: int, height: int, width: int) -> None:
    """Raises ConfigError when a p x p window does not fit into an image."""
    if size_px > min(height, width):
        raise ConfigError(
            f"an occlusion window of {size_px} x {size_px} pixels does not fit into images of {height} x {width}; "
            f"set trial field 'data.image_size' to at least {size_px}, or score no interpretability on this data set."
        )


def _paste(images_BHWC: Tensor, patches_BppC: Tensor, generator: torch.Generator) -> Tensor:
    (num_images, height, width, _), size_px = images_BHWC.shape, patches_BppC.shape[1]
    require_window_fits(size_px, height, width)
    top_B = torch.randint(0, height - size_px + 1, (num_images,), generator=generator)
    left_B = torch.randint(0, width - size_px + 1, (num_images,), generator=generator)
    offsets_p = torch.arange(size_px)
    image_B11 = torch.arange(num_images)[:, None, None]
    rows_Bp1 = (top_B[:, None] + offsets_p)[:, :, None]
    columns_B1p = (left_B[:, None] + offsets_p)[:, None, :]
    covered = images_BHWC.clone()
    covered[image_B11, rows_Bp1, columns_B1p] = patches_BppC
    return covered
