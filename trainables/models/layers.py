"""Layers that several models share."""

import math

import torch
from torch import Tensor, nn


def scaled(channels: int, width: float) -> int:
    """A channel count of the paper scaled to another width, rounded half up, at least 1."""
    return max(1, math.floor(channels * width + 0.5))


def half(side: int) -> int:
    """Side of a map after one stride-2 convolution or `ceil_mode` pooling."""
    return -(-side // 2)


class GlobalMean(nn.Module):
    """Mean over the cells, (B, C, H, W) to (B, C); AdaptiveAvgPool2d has no deterministic backward on GPUs."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean((2, 3))


def at_least_fp32(x: Tensor) -> Tensor:
    """The tensor in its own precision or float32, whichever is finer; for computations that must not run in bf16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Fp32Linear(nn.Linear):
    """A linear layer in float32 or finer, also under autocast.

    Used around z, because at the start of training its noise is no larger than bf16's last digit.
    """

    def forward(self, x: Tensor) -> Tensor:
        # Autocast does not know the meta device, on which models are counted.
        if x.is_meta or not torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(at_least_fp32(x))


class GridMean(nn.Module):
    """Means over a grid of `side` x `side` windows, (B, C, H, W) to (B, C, side, side).

    The windows are those of AdaptiveAvgPool2d: they overlap if the sides do not divide, and may repeat cells of small
    maps. Its backward is not deterministic on GPUs; the backward of slices is.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x_BCHW: Tensor) -> Tensor:
        rows_BCSW = torch.stack([x_BCHW[:, :, window].mean(2) for window in self._windows(x_BCHW.shape[2])], 2)
        return torch.stack([rows_BCSW[:, :, :, window].mean(3) for window in self._windows(x_BCHW.shape[3])], 3)

    def _windows(self, size: int) -> list[slice]:
        return [slice(i * size // self.side, -(-(i + 1) * size // self.side)) for i in range(self.side)]
