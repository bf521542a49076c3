"""A section of a network that ends where attention reads the features."""

from typing import NamedTuple

from torch import nn


class Stage(NamedTuple):
    layers: nn.Module
    """Maps the image, or the previous stage's features, to (B, channels, h, w)."""
    channels: int
    map_size: tuple[int, int]
    """h and w at the trial's image size."""
