"""WRN-28-10 (wide residual network, pre-activation) as the article uses it, in parts.

Groups of four basic blocks: 160, 320 | 640 channels, and a fourth group in the attention module. `width` scales every
channel count; `dropout` lies between the two convolutions of every block and draws from torch's default generator.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.models.layers import Fp32Linear, GlobalMean, half, scaled
from trainables.models.quantizer import AnchorQuantizer

HAS_DROPOUT = True


class BasicBlock(nn.Module):
    """BN, ReLU, Conv3x3, BN, ReLU, dropout, Conv3x3, plus the input, or a 1x1 of it (activated) where widths differ."""

    def __init__(self, c_in: int, c_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        changes = c_in != c_out or stride != 1
        self.shortcut = nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False) if changes else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        active = functional.relu(self.bn1(x_BCHW), inplace=True)
        h: Tensor = functional.relu(self.bn2(self.conv1(active)), inplace=True)
        h = self.conv2(self.dropout(h))
        return h + (x_BCHW if self.shortcut is None else self.shortcut(active))


def features(width: float, dropout: float) -> nn.Sequential:
    """(B, 3, side, side) to (B, 320, side/2, side/2): stem and the first two groups."""
    stem, c1, c2 = (scaled(channels, width) for channels in (16, 160, 320))
    first = nn.Conv2d(3, stem, 3, padding=1, bias=False)
    return nn.Sequential(first, _group(stem, c1, 1, dropout), _group(c1, c2, 2, dropout))


def class_maps(width: float, num_classes: int, dropout: float) -> list[nn.Module]:
    """Features to one non-negative map per class, (B, C, side/2, side/2): a group, BN, Conv(1x1, C), BN, ReLU."""
    c = scaled(640, width)
    return [
        _group(scaled(320, width), c, 1, dropout),
        nn.BatchNorm2d(c),
        nn.Conv2d(c, num_classes, 1, bias=False),
        nn.BatchNorm2d(num_classes),
        nn.ReLU(inplace=True),
    ]


def map_of_classes(num_classes: int) -> list[nn.Module]:
    """The class maps to one map before the sigmoid: Conv(3x3, 1), BN."""
    return [nn.Conv2d(num_classes, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1)]


def attention_mean(width: float, num_classes: int, dropout: float) -> nn.Sequential:
    """Mean path before the sigmoid: Supplement C's "extra residual block", which is a whole group in the released code.

    It is the attention branch of ABN (Fukui et al., 2019) without its classifier.
    """
    return nn.Sequential(*class_maps(width, num_classes, dropout), *map_of_classes(num_classes))


def encoder(width: float, outputs: int, dropout: float) -> nn.Sequential:
    """Features to (B, outputs): the third group, BN, ReLU, mean over the cells, FC."""
    c = scaled(640, width)
    return nn.Sequential(
        _group(scaled(320, width), c, 2, dropout),
        nn.BatchNorm2d(c),
        nn.ReLU(inplace=True),
        GlobalMean(),
        Fp32Linear(c, outputs),
    )


def decoder(latent_dim: int, num_classes: int) -> nn.Sequential:
    """ReLU, FC(K x C) (Supplement C)."""
    return nn.Sequential(nn.ReLU(), Fp32Linear(latent_dim, num_classes))


def map_side(image_side: int) -> int:
    """Side of the attention map."""
    return half(image_side)


def initialize(model: nn.Module, generator: torch.Generator) -> None:
    """Sets every parameter and buffer as the released code does.

    Convolutions of variance 2 / (k k C_out), BatchNorm 1 and 0, Linear weights U(-1, 1) / sqrt(inputs) (torch's
    default), every bias 0; the anchors divide [0, 1].
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, AnchorQuantizer):
            module.reset()


def _group(c_in: int, c_out: int, stride: int, dropout: float) -> nn.Sequential:
    widths = [(c_in, stride), *[(c_out, 1)] * 3]
    return nn.Sequential(*(BasicBlock(c, c_out, s, dropout) for c, s in widths))
