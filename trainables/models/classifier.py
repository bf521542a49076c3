"""What every model of the project offers: a forward pass with its noise given, and maps without noise.

B batch, C classes, H W map size, K latent size, S attention draws, T latent draws for each of them.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Noise(NamedTuple):
    """Standard normal draws. An argument of the forward pass, so that ranks, retries and compilers see the same."""

    attention_SBHW: Tensor
    latent_STBK: Tensor


class Output(NamedTuple):
    """One forward pass; everything in float32 or finer."""

    logits_STBC: Tensor
    attention_SBHW: Tensor
    """The draws a = mu + sigma * noise, never clamped."""
    modulation_SBHW: Tensor
    """What multiplies the features: a, or its quantised values with the straight-through gradient."""
    quantized_SBHW: Tensor | None
    """The anchors' values with the gradient to the anchors; None without a quantiser."""
    attention_mean_BHW: Tensor
    attention_std_BHW: Tensor
    map_BHW: Tensor
    """The attention map without noise, as in `attention_maps`: a score must not see draws, which make dead maps look
    alive, and alike under equal noise."""
    latent_mean_SBK: Tensor
    latent_std_SBK: Tensor


class Classifier(nn.Module, ABC):
    """An image classifier with spatial attention. Only `forward` trains, so it is all that DDP has to wrap."""

    @property
    @abstractmethod
    def map_size(self) -> tuple[int, int]:
        """Height and width of the attention map at the trial's image size."""

    @abstractmethod
    def noise_shapes(self, num_images: int, num_attention: int, num_latent: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields of `Noise`, (S, B, H, W) and (S, T, B, K)."""

    @abstractmethod
    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        """Logits of every draw, and what the loss needs."""

    @abstractmethod
    def attention_maps(self, x_BCHW: Tensor) -> dict[str, Tensor]:
        """The model's maps (B, H, W) by name, a function of the image alone: nothing is drawn."""

    def draw_noise(self, num_images: int, num_attention: int, num_latent: int, generator: torch.Generator) -> Noise:
        """Draws float32 noise for a forward pass on the generator's device."""
        shapes = self.noise_shapes(num_images, num_attention, num_latent)
        device = generator.device
        return Noise(*(torch.randn(s, generator=generator, device=device, dtype=torch.float32) for s in shapes))
