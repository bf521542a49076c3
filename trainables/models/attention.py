"""The attention module p(a|x) = N(a | mu, sigma^2), with one score per cell; the scores modulate the features.

B batch, C channels, H W map size, S attention draws.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from trainables.models.bottleneck import positive_std
from trainables.models.layers import at_least_fp32

Modulation = Literal["residual", "product"]


class SpatialAttention(nn.Module):
    """Computes the map's mean (sigmoid of the mean path) and standard deviation (a convolution of the mean)."""

    def __init__(self, mean_path: nn.Module, sigma_kernel: int, sigma_offset: float) -> None:
        """`mean_path` maps (B, C, H, W) to (B, 1, H, W).

        `sigma_kernel` is 1 in Supplement C and 3 in the released code; `sigma_offset` keeps sigma small at the start.
        """
        super().__init__()
        self.mean_path = mean_path
        self.std_conv = nn.Conv2d(1, 1, sigma_kernel, padding=sigma_kernel // 2)
        self.sigma_offset = sigma_offset

    def forward(self, f_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Mean in (0, 1) and standard deviation above 0, each (B, H, W)."""
        mean_B1HW = torch.sigmoid(at_least_fp32(self.mean_path(f_BCHW)))
        std_B1HW = positive_std(self.std_conv(mean_B1HW), self.sigma_offset)
        return mean_B1HW.squeeze(1), std_B1HW.squeeze(1)


def modulate(f_BCHW: Tensor, scores_SBHW: Tensor, how: Modulation) -> Tensor:
    """The features modulated by every draw of the map, (S*B, C, H, W), draw by draw.

    `residual` is f + a f of the released code, `product` a f; the paper says "attention-modulated".
    """
    gain_SBHW = 1 + scores_SBHW if how == "residual" else scores_SBHW
    return (f_BCHW * gain_SBHW.unsqueeze(2)).flatten(0, 1)
