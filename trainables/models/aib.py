"""The classifier of Fig. 2: features, attention, quantiser, modulation, encoder p(z|x, a), decoder q(y|z).

B batch, C classes, H W map size, K latent size, S attention draws, T latent draws for each of them.
"""

from torch import Tensor, nn

from trainables.models.attention import Modulation, SpatialAttention, modulate
from trainables.models.bottleneck import latent_posterior, reparameterize
from trainables.models.classifier import AttentionDraws, Classifier, Latent, Noise, Output
from trainables.models.layers import at_least_fp32
from trainables.models.quantizer import AnchorQuantizer


class AIB(Classifier):
    """Any backbone's parts, with a quantiser (`-qt`) or without.

    Its map `attention` is the mean of p(a|x), quantised where the model quantises.
    """

    def __init__(
        self,
        *,
        features: nn.Module,
        attention: SpatialAttention,
        quantizer: AnchorQuantizer | None,
        encoder: nn.Module,
        decoder: nn.Module,
        modulation: Modulation,
        latent_dim: int,
        map_size: tuple[int, int],
    ) -> None:
        """`encoder` maps modulated features to (B, 2K), `decoder` (..., K) to (..., C)."""
        super().__init__(map_sizes={"attention": map_size}, draws_attention=True, latent_dim=latent_dim)
        self.features = features
        self.attention = attention
        self.quantizer = quantizer
        self.encoder = encoder
        self.decoder = decoder
        self.modulation: Modulation = modulation

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        """Features run once per image, the encoder once per attention draw, the decoder once per latent draw."""
        assert noise.attention_SBHW is not None
        assert noise.latent_STBK is not None
        f_BCHW = self.features(x_BCHW)
        mean_BHW, std_BHW = self.attention(f_BCHW)
        a_SBHW = reparameterize(mean_BHW, std_BHW, noise.attention_SBHW)
        modulation_SBHW, quantized_SBHW = (a_SBHW, None) if self.quantizer is None else self.quantizer(a_SBHW)
        h = self.encoder(modulate(f_BCHW, modulation_SBHW, self.modulation))
        latent = Latent(*latent_posterior(h.unflatten(0, a_SBHW.shape[:2])))
        z_STBK = reparameterize(latent.mean_SBK.unsqueeze(1), latent.std_SBK.unsqueeze(1), noise.latent_STBK)
        map_BHW = mean_BHW if self.quantizer is None else self.quantizer(mean_BHW).values
        return Output(
            logits_STBC=at_least_fp32(self.decoder(z_STBK)),
            maps={"attention": map_BHW.detach()},
            attention=AttentionDraws(a_SBHW, modulation_SBHW, quantized_SBHW, mean_BHW, std_BHW),
            latent=latent,
        )
