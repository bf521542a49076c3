"""What every model of the project offers: a forward pass with its noise given, and maps without noise.

B batch, C classes, h w map size, K latent size, S attention draws, T latent draws for each of them; S and T are 1
where the model draws none.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class NoiseShapes(NamedTuple):
    """Shapes of the fields of `Noise`; None for what the model does not draw."""

    attention_SBHW: tuple[int, ...] | None
    latent_STBK: tuple[int, ...] | None


class Noise(NamedTuple):
    """Standard normal draws. An argument of the forward pass, so that ranks, retries and compilers see the same."""

    attention_SBHW: Tensor | None
    latent_STBK: Tensor | None


class AttentionDraws(NamedTuple):
    """Spatial attention p(a|x) and what was drawn from it."""

    draws_SBHW: Tensor
    """a = mu + sigma * noise, never clamped."""
    modulation_SBHW: Tensor
    """What multiplies the features: a, or its quantised values with the straight-through gradient."""
    quantized_SBHW: Tensor | None
    """The anchors' values with the gradient to the anchors; None without a quantiser."""
    mean_BHW: Tensor
    std_BHW: Tensor


class Latent(NamedTuple):
    """The bottleneck's Gaussian, one for every attention draw."""

    mean_SBK: Tensor
    std_SBK: Tensor


class Output(NamedTuple):
    """One forward pass; everything in float32 or finer."""

    logits_STBC: Tensor
    maps: dict[str, Tensor]
    """Where the model looks, (B, h, w) by name, the headline map first; empty without spatial maps. Without noise and
    without gradient: a score must not see draws, which make dead maps look alive, and alike under equal noise."""
    attention: AttentionDraws | None = None
    latent: Latent | None = None
    auxiliary_logits_BC: Tensor | None = None
    """Logits of a second head that is trained beside the first and predicts nothing."""


class Classifier(nn.Module, ABC):
    """An image classifier. Only `forward` trains, so it is all that DDP has to wrap."""

    def __init__(
        self,
        *,
        map_sizes: Mapping[str, tuple[int, int]] | None = None,
        draws_attention: bool = False,
        latent_dim: int | None = None,
    ) -> None:
        """`map_sizes`: height and width at the trial's image size of each of `Output.maps`, in its order.

        `draws_attention` says that the headline map is the mean of a distribution that is drawn from.
        """
        super().__init__()
        self.map_sizes = dict(map_sizes or {})
        self.draws_attention = draws_attention
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        """Logits of every draw, the maps, and what the loss needs."""

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
