"""Pieces that both backbones use."""

import math

import torch
from torch import Tensor, nn


def scaled(channels: int, width: float) -> int:
    """A channel count of the paper at another width: rounded half up, at least 1."""
    return max(1, math.floor(channels * width + 0.5))


def half(side: int) -> int:
    """Side of a map after one stride-2 convolution or `ceil_mode` pooling."""
    return -(-side // 2)


class GlobalMean(nn.Module):
    """Mean over the cells, (B, C, H, W) to (B, C); AdaptiveAvgPool2d has no deterministic backward on GPUs."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean((2, 3))


def at_least_fp32(x: Tensor) -> Tensor:
    """The tensor in its own precision or float32, whichever is finer: what must not run in bf16 starts here."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
