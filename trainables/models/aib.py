"""The classifier of Fig. 2: features, attention, quantiser, modulation, encoder p(z|x, a), decoder q(y|z).

B batch, C classes, H W map size, K latent size, S attention draws, T latent draws for each of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.models.attention import Modulation, SpatialAttention, modulate
from trainables.models.bottleneck import latent_posterior, reparameterize
from trainables.models.classifier import AttentionDraws, Classifier, Latent, Noise, Output
from trainables.models.layers import at_least_fp32
from trainables.models.quantizer import AnchorQuantizer


class AIBParts(NamedTuple):
    """The modules of the model, from one backbone."""

    features: nn.Module
    attention: SpatialAttention
    quantizer: AnchorQuantizer | None
    """Of the `-qt` models only."""
    encoder: nn.Module
    """Modulated features to (B, 2K)."""
    decoder: nn.Module
    """(..., K) to (..., C)."""


class AIB(Classifier):
    """Its map `attention` is the mean of p(a|x), quantised where the model has a quantiser."""

    def __init__(self, parts: AIBParts, *, modulation: Modulation, latent_dim: int, map_size: tuple[int, int]) -> None:
        super().__init__(map_sizes={"attention": map_size}, draws_attention=True, latent_dim=latent_dim)
        self.features = parts.features
        self.attention = parts.attention
        self.quantizer = parts.quantizer
        self.encoder = parts.encoder
        self.decoder = parts.decoder
        self.modulation: Modulation = modulation

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        """Features run once per image, the encoder once per attention draw, the decoder once per latent draw.

        In evaluation, draws that quantise to the same map of an image share one run of the encoder.
        """
        assert noise.attention_SBHW is not None
        assert noise.latent_STBK is not None
        f_BCHW = self.features(x_BCHW)
        mean_BHW, std_BHW = self.attention(f_BCHW)
        a_SBHW = reparameterize(mean_BHW, std_BHW, noise.attention_SBHW)
        modulation_SBHW, quantized_SBHW = (a_SBHW, None) if self.quantizer is None else self.quantizer(a_SBHW)
        latent = Latent(*latent_posterior(self._encode(f_BCHW, modulation_SBHW)))
        z_STBK = reparameterize(latent.mean_SBK.unsqueeze(1), latent.std_SBK.unsqueeze(1), noise.latent_STBK)
        map_BHW = mean_BHW if self.quantizer is None else self.quantizer(mean_BHW).values
        return Output(
            logits_STBC=at_least_fp32(self.decoder(z_STBK)),
            maps={"attention": map_BHW.detach()},
            attention=AttentionDraws(a_SBHW, modulation_SBHW, quantized_SBHW, mean_BHW, std_BHW),
            latent=latent,
        )

    def _encode(self, f_BCHW: Tensor, scores_SBHW: Tensor) -> Tensor:
        """The encoder's outputs (S, B, 2K) for the features under every draw."""
        num_maps = scores_SBHW.shape[0] * scores_SBHW.shape[1]
        may_repeat = self.quantizer is not None and len(scores_SBHW) > 1
        # Not in training: there every draw counts in BatchNorm's statistics, and equal maps have different gradients.
        if may_repeat and not self.training and not torch.is_grad_enabled():
            draw_P, image_P, place_SB = distinct_maps(scores_SBHW)
            if len(draw_P) < num_maps:
                scores_1PHW = scores_SBHW[draw_P, image_P].unsqueeze(0)
                once_P2K: Tensor = self.encoder(modulate(f_BCHW[image_P], scores_1PHW, self.modulation))
                return once_P2K[place_SB]
        every_2K: Tensor = self.encoder(modulate(f_BCHW, scores_SBHW, self.modulation))
        return every_2K.view(*scores_SBHW.shape[:2], -1)


def distinct_maps(maps_SBHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Removes repeated maps of an image: draw and image index of the P that remain, and for every map (S, B) the
    number of the remaining map that equals it."""
    flat_SBN = maps_SBHW.flatten(2)
    # The first draw with an equal map. A loop, because comparing all pairs at once would need S * S maps.
    first_SB = torch.stack([(flat_SBN[: s + 1] == flat_SBN[s]).all(2).int().argmax(0) for s in range(len(flat_SBN))])
    is_first_SB = first_SB == torch.arange(len(flat_SBN), device=first_SB.device)[:, None]
    draw_P, image_P = is_first_SB.nonzero(as_tuple=True)
    number_SB = is_first_SB.flatten().cumsum(0).view_as(first_SB) - 1
    return draw_P, image_P, number_SB.gather(0, first_SB)
