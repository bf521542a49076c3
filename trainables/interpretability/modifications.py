"""The ten image modifications of Table 2, by metric name."""

from typing import Literal

import torch
from torch import Tensor

from trainables import metrics
from trainables.errors import ConfigError
from trainables.interpretability import frequency, occlusion

_COLOR_SIZES_PX = dict(zip(metrics.COLOR_OCCLUSIONS, metrics.OCCLUSION_SIZES_PX, strict=True))
_IMAGE_SIZES_PX = dict(zip(metrics.IMAGE_OCCLUSIONS, metrics.OCCLUSION_SIZES_PX, strict=True))


def modify(
    images_BHWC: Tensor,
    name: str,
    occluders_MHWC: Tensor,
    filtered_range: Literal["minmax", "clip"],
    generator: torch.Generator,
) -> Tensor:
    """Returns modified copies of raw uint8 images (B, H, W, C); `name` is one of `metrics.MODIFICATIONS`."""
    if name in _COLOR_SIZES_PX:
        return occlusion.occlude_with_color(images_BHWC, _COLOR_SIZES_PX[name], generator)
    if name in _IMAGE_SIZES_PX:
        return occlusion.occlude_with_images(images_BHWC, _IMAGE_SIZES_PX[name], occluders_MHWC, generator)
    if name == metrics.HIGH_FREQUENCIES:
        return frequency.keep_frequencies(images_BHWC, metrics.HIGH_RADIUS, "high", filtered_range)
    if name == metrics.LOW_FREQUENCIES:
        return frequency.keep_frequencies(images_BHWC, metrics.LOW_RADIUS, "low", filtered_range)
    raise ConfigError(f"unknown image modification {name!r}; allowed: {', '.join(metrics.MODIFICATIONS)}.")


def require_modifiable(images_BHWC: Tensor, occluders_MHWC: Tensor) -> None:
    """Raises ConfigError unless all ten modifications are possible with these images and occluders."""
    if images_BHWC.ndim != 4 or 0 in images_BHWC.shape or images_BHWC.dtype != torch.uint8:
        raise ConfigError(
            f"the images to modify are {images_BHWC.dtype} of shape {tuple(images_BHWC.shape)}; allowed: raw uint8 "
            "(B, H, W, C), not empty. Check the data set, and that 'data.test_images' covers the images asked for."
        )
    _, height, width, channels = images_BHWC.shape
    occlusion.require_window_fits(max(metrics.OCCLUSION_SIZES_PX), height, width)
    shape = tuple(occluders_MHWC.shape)
    if len(shape) != 4 or 0 in shape or shape[3] != channels or occluders_MHWC.dtype != torch.uint8:
        raise ConfigError(
            f"the occluders are {occluders_MHWC.dtype} of shape {shape}; allowed: at least one uint8 image (M, H, W, "
            f"{channels}). Set trial field 'evaluation.occluder_dataset' to a data set with such images."
        )
