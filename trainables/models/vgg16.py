"""VGG-16 without BatchNorm (Simonyan and Zisserman, 2015) as the article uses it on CUB-200-2011, in parts.

Thirteen 3x3 convolutions and four pools: torchvision's `features` without its last pool, with the same indices, so that
ImageNet weights fit by name. The map has a sixteenth of the image's side: 14 x 14 at 224 pixels. There is no dropout.
"""

import torch
from torch import nn

from trainables.models import vgg
from trainables.models.layers import Fp32Linear, GridMean, half, scaled

HAS_DROPOUT = False
POOLED_SIDE = 3
"""The encoder sees the modulated features as 3 x 3 means (released code)."""

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def features(width: float, dropout: float) -> nn.Sequential:
    """(B, 3, side, side) to (B, 512, side/16, side/16)."""
    layers: list[nn.Module] = []
    c_in = 3
    for number, (channels, depth) in enumerate(_BLOCKS):
        if number:
            # ceil_mode allows any side; no effect at multiples of 16.
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for _ in range(depth):
            c_out = scaled(channels, width)
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(inplace=True)]
            c_in = c_out
    return nn.Sequential(*layers)


def attention_mean(width: float, num_classes: int, dropout: float) -> nn.Sequential:
    """Mean path before the sigmoid: three more convolutions, then Conv(3x3, 1).

    The released code has these three in aib-qt only; Tables 3 and 4 fit both models with them.
    """
    c = scaled(512, width)
    more = [layer for _ in range(3) for layer in (nn.Conv2d(c, c, 3, padding=1), nn.ReLU(inplace=True))]
    return nn.Sequential(*more, nn.Conv2d(c, 1, 3, padding=1))


def encoder(width: float, outputs: int, dropout: float) -> nn.Sequential:
    """Modulated features to (B, outputs): 3 x 3 means, FC."""
    cells = POOLED_SIDE * POOLED_SIDE
    return nn.Sequential(GridMean(POOLED_SIDE), nn.Flatten(), Fp32Linear(scaled(512, width) * cells, outputs))


def decoder(latent_dim: int, num_classes: int) -> nn.Sequential:
    """FC(K x K), ReLU, FC(K x C) (Supplement C)."""
    return vgg.decoder(latent_dim, num_classes)


def map_side(image_side: int) -> int:
    """Side of the attention map, after four pools."""
    return half(half(half(half(image_side))))


def initialize(model: nn.Module, generator: torch.Generator) -> None:
    """Sets every parameter as the released code does and as in `vgg`: Xavier-uniform, zero bias."""
    vgg.initialize(model, generator)
