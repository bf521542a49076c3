"""A stretch of a network up to a place where attention looks at the features."""

from typing import NamedTuple

from torch import nn


class Stage(NamedTuple):
    layers: nn.Module
    """From the stage before, or the image, to (B, channels, h, w)."""
    channels: int
    map_size: tuple[int, int]
    """h and w at the trial's image size."""
