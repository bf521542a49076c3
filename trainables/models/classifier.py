"""The interface of every model: a forward pass that receives its noise, and maps without noise.

B batch, C classes, h w map size, K latent size, S attention draws, T latent draws for each of them; S and T are 1
for a model without these draws.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class NoiseShapes(NamedTuple):
    """Shapes of the fields of `Noise`; None for noise that the model does not need."""

    attention_SBHW: tuple[int, ...] | None
    latent_STBK: tuple[int, ...] | None


class Noise(NamedTuple):
    """Standard normal draws; an argument of the forward pass, so that all ranks, retries and compilers use the same."""

    attention_SBHW: Tensor | None
    latent_STBK: Tensor | None


class AttentionDraws(NamedTuple):
    """The spatial attention p(a|x) and its draws."""

    draws_SBHW: Tensor
    """a = mu + sigma * noise, never clamped."""
    modulation_SBHW: Tensor
    """The scores that modulate the features: a, or its quantised values with the straight-through gradient."""
    quantized_SBHW: Tensor | None
    """The anchors' values, with the gradient to the anchors; None without a quantiser."""
    mean_BHW: Tensor
    std_BHW: Tensor


class Latent(NamedTuple):
    """The bottleneck's Gaussians, one per attention draw."""

    mean_SBK: Tensor
    std_SBK: Tensor


class Output(NamedTuple):
    """The result of one forward pass; everything in float32 or finer."""

    logits_STBC: Tensor
    maps: dict[str, Tensor]
    """The model's attention maps, (B, h, w) by name, the headline map first; empty without spatial maps.

    They have no noise and no gradient. A score must not see draws: noise makes dead maps look alive, and equal noise
    makes them look alike."""
    attention: AttentionDraws | None = None
    latent: Latent | None = None
    auxiliary_logits_BC: Tensor | None = None
    """Logits of a second head, which is trained with the first but not used for predictions."""


class Classifier(nn.Module, ABC):
    """An image classifier. Training calls only `forward`, so that DDP can wrap it."""

    def __init__(
        self,
        *,
        map_sizes: Mapping[str, tuple[int, int]] | None = None,
        draws_attention: bool = False,
        latent_dim: int | None = None,
    ) -> None:
        """`map_sizes`: height and width of each of `Output.maps` at the trial's image size, in the same order.

        `draws_attention`: the headline map is the mean of a distribution from which the model draws.
        """
        super().__init__()
        self.map_sizes = dict(map_sizes or {})
        self.draws_attention = draws_attention
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        """Computes the logits of every draw, the maps, and the terms of the loss."""

    def noise_shapes(self, num_images: int, num_attention: int, num_latent: int) -> NoiseShapes:
        """(S, B, h, w) and (S, T, B, K)."""
        attention = latent = None
        if self.draws_attention:
            attention = (num_attention, num_images, *next(iter(self.map_sizes.values())))
        if self.latent_dim is not None:
            latent = (num_attention if self.draws_attention else 1, num_latent, num_images, self.latent_dim)
        return NoiseShapes(attention, latent)

    def draw_noise(self, num_images: int, num_attention: int, num_latent: int, generator: torch.Generator) -> Noise:
        """Draws float32 noise for a forward pass on the generator's device."""

        def draw(shape: tuple[int, ...] | None) -> Tensor | None:
            if shape is None:
                return None
            return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float32)

        return Noise(*map(draw, self.noise_shapes(num_images, num_attention, num_latent)))
