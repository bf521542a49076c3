"""Quantises attention scores (§3.3): every cell of the map takes the nearest of Q learnable anchor values.

Q anchors; the map may have any shape.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Quantized(NamedTuple):
    """Two tensors with equal values and different gradients, in the shape of the map."""

    straight_through: Tensor
    """Input of the encoder; its gradient passes to the map unchanged, and not to the anchors."""
    values: Tensor
    """The anchors' values; their gradient passes to the anchors, and not to the map."""


class AnchorQuantizer(nn.Module):
    """Eq. 9 with the straight-through estimator."""

    def __init__(self, num_anchors: int) -> None:
        super().__init__()
        self.anchors = nn.Parameter(torch.empty(num_anchors))
        self.reset()

    def reset(self) -> None:
        """Divides [0, 1] evenly, both ends included (Supplement C)."""
        with torch.no_grad():
            self.anchors.copy_(torch.linspace(0, 1, len(self.anchors)))

    def forward(self, a: Tensor) -> Quantized:
        values = self.anchors[nearest_anchor(a, self.anchors)]
        # a - sg[a] is exactly 0, so that the forward values are the anchors' to the last bit.
        return Quantized(values.detach() + (a - a.detach()), values)


@torch.no_grad()
def nearest_anchor(a: Tensor, anchors_Q: Tensor) -> Tensor:
    """Index of each cell's nearest anchor, ties to the lower index (Eq. 9), int64 in the shape of `a`.

    O(log Q) per cell; comparing with every anchor would need memory for Q distances per cell. Anchors may be in any
    order and may be equal. Compares distances in float64, where differences of float32 values do not round.
    NaN, in the map or the anchors, gives some valid index; the loss reports NaN, not this function.
    """
    last = len(anchors_Q) - 1
    cells = a.double().contiguous()
    sorted_Q, order_Q = torch.sort(anchors_Q.double(), stable=True)
    # Equal anchors are adjacent, in order of index; the first one represents all of them.
    first_Q = torch.searchsorted(sorted_Q, sorted_Q).clamp_max(last)
    position = torch.searchsorted(sorted_Q, cells)
    below, above = first_Q[(position - 1).clamp_min(0)], first_Q[position.clamp_max(last)]
    to_below, to_above = (cells - sorted_Q[below]).abs(), (cells - sorted_Q[above]).abs()
    below, above = order_Q[below], order_Q[above]
    return torch.where((to_below < to_above) | ((to_below == to_above) & (below < above)), below, above)
