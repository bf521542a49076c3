"""Augments and normalises batches of uint8 images on their own device.

Legend: B batch, H, W image, C = 3 channels.
"""

from functools import lru_cache
from typing import NamedTuple

import torch

from trainables.config.trial import DataConfig
from trainables.errors import ConfigError


class Normalization(NamedTuple):
    """Constants per channel for values in 0..1: (x - mean) / std."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALIZATIONS = {
    # Released WRN code, for both CIFARs; CIFAR-10's channel means, with per-image-averaged deviations.
    "cifar10": Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    # Released VGG code, for both CIFARs; CIFAR-100's channel statistics.
    "cifar100": Normalization((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    # Released code for SVHN.
    "half": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    # Released code for CUB; ImageNet's channel statistics.
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class CropAndFlip(NamedTuple):
    """The random draws of a batch's augmentation."""

    rows_B: torch.Tensor
    """Crop offsets, from 0 to twice the padding plus `stored_size - image_size`."""
    columns_B: torch.Tensor
    flips_B: torch.Tensor


def draw(num_images: int, data: DataConfig, generator: torch.Generator) -> CropAndFlip:
    """Draws offsets and flips for a batch from the generator, on the generator's device."""
    device = generator.device
    span = 2 * data.crop_padding + _margin(data) + 1
    offsets_2B = torch.randint(span, (2, num_images), generator=generator, device=device)
    flips_B = torch.zeros(num_images, dtype=torch.bool, device=device)
    if data.flip:
        flips_B = torch.randint(2, (num_images,), generator=generator, device=device).bool()
    return CropAndFlip(offsets_2B[0], offsets_2B[1], flips_B)


def augment(images_BHWC: torch.Tensor, data: DataConfig, generator: torch.Generator) -> torch.Tensor:
    """Pads, crops at random, flips at random if `data.flip`, normalises: uint8 (B, H, W, C) to float32 (B, C, h, w).

    h, w are H, W minus (`data.stored_size` - `data.image_size`).
    """
    draws = draw(len(images_BHWC), data, generator)
    return normalize(crop_and_flip(images_BHWC, data, CropAndFlip(*(d.to(images_BHWC.device) for d in draws))), data)


def crop_and_flip(images_BHWC: torch.Tensor, data: DataConfig, draws: CropAndFlip) -> torch.Tensor:
    """The augmented images, still uint8 (B, h, w, C).

    Allocates no padded images: computes the source of each pixel and gathers it.
    Raises ConfigError for a reflection wider than the image.
    """
    num, height, width, channels = images_BHWC.shape
    out_height, out_width = height - _margin(data), width - _margin(data)
    padding, reflect = data.crop_padding, data.crop_padding_mode == "reflect"
    if reflect and padding >= min(height, width):
        raise ConfigError(
            f"trial field 'data.crop_padding' is {padding}; images of {height} x {width} pixels can be "
            f"reflected by at most {min(height, width) - 1}."
        )
    device = images_BHWC.device
    rows_BH = draws.rows_B[:, None] + (torch.arange(out_height, device=device) - padding)
    columns_BW = torch.arange(out_width, device=device).expand(num, out_width)
    columns_BW = torch.where(draws.flips_B[:, None], out_width - 1 - columns_BW, columns_BW)
    columns_BW = columns_BW + (draws.columns_B[:, None] - padding)
    first_B = torch.arange(num, device=device)[:, None] * (height * width)
    index_BHW = (first_B + _inside(rows_BH, height) * width)[:, :, None] + _inside(columns_BW, width)[:, None, :]
    out_BHWC = images_BHWC.reshape(-1, 3).index_select(0, index_BHW.view(-1)).view(num, out_height, out_width, channels)
    if not reflect and padding:
        outside = _outside(rows_BH, height)[:, :, None] | _outside(columns_BW, width)[:, None, :]
        out_BHWC.masked_fill_(outside[..., None], 0)
    return out_BHWC


def normalize(images_BHWC: torch.Tensor, data: DataConfig) -> torch.Tensor:
    """uint8 (B, H, W, C) to normalised float32 (B, C, H, W)."""
    scale_C, shift_C = _affine(data.normalization, images_BHWC.device)
    images_BCHW = images_BHWC.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return images_BCHW.mul_(scale_C).add_(shift_C)


@lru_cache
def _affine(name: str, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift, (C, 1, 1) each: (x / 255 - mean) / std = x * scale + shift."""
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in NORMALIZATIONS[name])
    return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def _margin(data: DataConfig) -> int:
    return data.stored_size - data.image_size


def _inside(index: torch.Tensor, size: int) -> torch.Tensor:
    """Reflects indices into 0..size-1 without repeating the border pixel."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _outside(index: torch.Tensor, size: int) -> torch.Tensor:
    return (index < 0) | (index >= size)
