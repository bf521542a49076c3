"""The interface of a backbone module: the parts from which models are built."""

from typing import Protocol

import torch
from torch import nn


class Backbone(Protocol):
    """A Python module such as `vgg` or `wrn`; `width` scales every channel count."""

    @property
    def HAS_DROPOUT(self) -> bool: ...  # noqa: N802

    def features(self, width: float, dropout: float) -> nn.Module: ...
    def attention_mean(self, width: float, num_classes: int, dropout: float) -> nn.Module: ...
    def encoder(self, width: float, outputs: int, dropout: float) -> nn.Module: ...
    def decoder(self, latent_dim: int, num_classes: int) -> nn.Module: ...
    def map_side(self, image_side: int) -> int: ...
    def initialize(self, model: nn.Module, generator: torch.Generator) -> None: ...
