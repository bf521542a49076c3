"""WRN-50-2 (ResNet-50 with bottlenecks twice as wide) as the article uses it on CUB-200-2011, in parts.

The features are the stem and the first three groups, the encoder is the fourth group, and the attention module is
another fourth group with stride 1. Names are torchvision's, so that ImageNet weights fit. The map has a sixteenth of
the image's side: 14 x 14 at 224 pixels. `width` scales every channel count; there is no dropout.

The article's 130.73 M parameters include a second third group (20 736 000) that the released code registers and
never runs; without it the network has 109 990 675.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.models import vgg, wrn
from trainables.models.layers import Fp32Linear, GlobalMean, half, scaled

HAS_DROPOUT = False
_EXPANSION = 4


class Bottleneck(nn.Module):
    """Conv1x1, Conv3x3 (strided), Conv1x1 with BN after each and ReLU between, plus the input or a projection of it."""

    def __init__(self, c_in: int, c_inner: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_inner)
        self.conv2 = nn.Conv2d(c_inner, c_inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_inner)
        self.conv3 = nn.Conv2d(c_inner, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h: Tensor = functional.relu(self.bn1(self.conv1(x_BCHW)), inplace=True)
        h = functional.relu(self.bn2(self.conv2(h)), inplace=True)
        h = self.bn3(self.conv3(h))
        return functional.relu(h + (x_BCHW if self.downsample is None else self.downsample(x_BCHW)), inplace=True)


def features(width: float, dropout: float) -> nn.Sequential:
    """(B, 3, side, side) to (B, 1024, side/16, side/16): stem and the first three groups."""
    stem = scaled(64, width)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False),
            bn1=nn.BatchNorm2d(stem),
            relu=nn.ReLU(inplace=True),
            maxpool=nn.MaxPool2d(3, stride=2, padding=1),
            layer1=_group(stem, 64, 3, 1, width),
            layer2=_group(_out(64, width), 128, 4, 2, width),
            layer3=_group(_out(128, width), 256, 6, 2, width),
        )
    )


def attention_mean(width: float, num_classes: int, dropout: float) -> nn.Sequential:
    """Mean path before the sigmoid: a fourth group of stride 1, never pretrained, then Conv(3x3, 1)."""
    group = _group(_out(256, width), 512, 3, 1, width)
    return nn.Sequential(group, nn.Conv2d(_out(512, width), 1, 3, padding=1))


def encoder(width: float, outputs: int, dropout: float) -> nn.Sequential:
    """Modulated features to (B, outputs): the fourth group, mean over the cells, FC."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            layer4=_group(_out(256, width), 512, 3, 2, width),
            mean=GlobalMean(),
            fc=Fp32Linear(_out(512, width), outputs),
        )
    )


def decoder(latent_dim: int, num_classes: int) -> nn.Sequential:
    """FC(K x K), ReLU, FC(K x C): of the released code; Supplement C gives a hidden layer to VGG only."""
    return vgg.decoder(latent_dim, num_classes)


def map_side(image_side: int) -> int:
    """Side of the attention map, after four strides of 2."""
    return half(half(half(half(image_side))))


def initialize(model: nn.Module, generator: torch.Generator) -> None:
    """Sets every parameter and buffer as the released code does and as in `wrn`: normal, scaled by outputs."""
    wrn.initialize(model, generator)


def _group(c_in: int, planes: int, depth: int, stride: int, width: float) -> nn.Sequential:
    c_inner, c_out = scaled(2 * planes, width), _out(planes, width)
    first = Bottleneck(c_in, c_inner, c_out, stride)
    return nn.Sequential(first, *(Bottleneck(c_out, c_inner, c_out, 1) for _ in range(depth - 1)))


def _out(planes: int, width: float) -> int:
    return scaled(_EXPANSION * planes, width)
