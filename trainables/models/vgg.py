"""The VGG of the article (after Jetley et al., 2018): fifteen 3x3 convolutions and a 1x1 one, in parts.

Conv blocks of 64, 128, 256 | 512, 512, 512, 512 channels. The first pool is the last layer of `features`, so that the
map has half the image's side. `width` scales every channel count. There is no dropout; the parameter exists because all
backbones have the same interface.
"""

import math

import torch
from torch import nn

from trainables.models.layers import Fp32Linear, GlobalMean, half, scaled
from trainables.models.quantizer import AnchorQuantizer

HAS_DROPOUT = False


def features(width: float, dropout: float) -> nn.Sequential:
    """(B, 3, side, side) to (B, 256, side/2, side/2). Supplement C has no pool here; Table 4 holds with this one."""
    c = [scaled(channels, width) for channels in (64, 128, 256)]
    return nn.Sequential(*_block(3, c[0], 2), *_block(c[0], c[1], 2), *_block(c[1], c[2], 3), _pool())


def attention_mean(width: float, num_classes: int, dropout: float) -> nn.Module:
    """Mean path before the sigmoid: Conv(3x3, 1) (Supplement C)."""
    return nn.Conv2d(scaled(256, width), 1, 3, padding=1)


def fourth_block(width: float) -> list[nn.Module]:
    """Three units of 512 channels after the features, then a pool that halves the side."""
    return [*_block(scaled(256, width), scaled(512, width), 3), _pool()]


def fifth_block(width: float, *, pooled: bool = True) -> list[nn.Module]:
    """Three more units, with or without their pool."""
    c = scaled(512, width)
    return [*_block(c, c, 3), *_pools(pooled)]


def last_block(width: float, *, pooled: bool = True) -> list[nn.Module]:
    """Two units, each with or without a pool after it, and the 1x1 convolution that replaces a dense layer."""
    c = scaled(512, width)
    return [*_block(c, c, 1), *_pools(pooled), *_block(c, c, 1), *_pools(pooled), nn.Conv2d(c, c, 1)]


def encoder(width: float, outputs: int, dropout: float) -> nn.Sequential:
    """Features to (B, outputs). The last mean is over one cell up to images of 32 pixels."""
    return nn.Sequential(
        *fourth_block(width),
        *fifth_block(width),
        *last_block(width),
        nn.ReLU(inplace=True),
        GlobalMean(),
        Fp32Linear(scaled(512, width), outputs),
    )


def decoder(latent_dim: int, num_classes: int) -> nn.Sequential:
    """FC(K x K), ReLU, FC(K x C) (Supplement C)."""
    return nn.Sequential(Fp32Linear(latent_dim, latent_dim), nn.ReLU(), Fp32Linear(latent_dim, num_classes))


def map_side(image_side: int) -> int:
    """Side of the attention map."""
    return half(image_side)


def initialize(model: nn.Module, generator: torch.Generator) -> None:
    """Sets every parameter and buffer as the released code does.

    Xavier-uniform with gain sqrt(2), zero bias, BatchNorm weight U(0, 1); the anchors divide [0, 1].
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=math.sqrt(2), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.uniform_(module.weight, generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, AnchorQuantizer):
            module.reset()


def _block(c_in: int, c_out: int, depth: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(depth):
        conv = nn.Conv2d(c_out if i else c_in, c_out, 3, padding=1)
        layers += [conv, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
    return layers


def _pools(wanted: bool) -> list[nn.Module]:
    return [_pool()] if wanted else []


def _pool() -> nn.MaxPool2d:
    # ceil_mode keeps a map of one cell, so that images under 32 pixels are possible; no effect at 32.
    return nn.MaxPool2d(2, ceil_mode=True)
