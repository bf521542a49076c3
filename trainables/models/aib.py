"""The classifier of Fig. 2: features, attention, quantiser, modulation, encoder p(z|x, a), decoder q(y|z).

B batch, C classes, H W map size, K latent size, S attention draws, T latent draws for each of them.
"""

from torch import Tensor, nn

from trainables.models.attention import Modulation, SpatialAttention, modulate
from trainables.models.bottleneck import latent_posterior, reparameterize
from trainables.models.classifier import Classifier, Noise, Output
from trainables.models.layers import at_least_fp32
from trainables.models.quantizer import AnchorQuantizer


class AIB(Classifier):
    """Any backbone's parts, with a quantiser (`-qt`) or without."""

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
        super().__init__()
        self.features = features
        self.attention = attention
        self.quantizer = quantizer
        self.encoder = encoder
        self.decoder = decoder
        self.modulation: Modulation = modulation
        self.latent_dim = latent_dim
        self._map_size = map_size

    @property
    def map_size(self) -> tuple[int, int]:
        return self._map_size

    def noise_shapes(self, num_images: int, num_attention: int, num_latent: int) -> tuple[tuple[int, ...], ...]:
        attention = (num_attention, num_images, *self.map_size)
        return attention, (num_attention, num_latent, num_images, self.latent_dim)

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        """Features run once per image, the encoder once per attention draw, the decoder once per latent draw."""
        f_BCHW = self.features(x_BCHW)
        mean_BHW, std_BHW = self.attention(f_BCHW)
        a_SBHW = reparameterize(mean_BHW, std_BHW, noise.attention_SBHW)
        modulation_SBHW, quantized_SBHW = (a_SBHW, None) if self.quantizer is None else self.quantizer(a_SBHW)
        h = self.encoder(modulate(f_BCHW, modulation_SBHW, self.modulation))
        latent_mean_SBK, latent_std_SBK = latent_posterior(h.unflatten(0, a_SBHW.shape[:2]))
        z_STBK = reparameterize(latent_mean_SBK.unsqueeze(1), latent_std_SBK.unsqueeze(1), noise.latent_STBK)
        return Output(
            logits_STBC=at_least_fp32(self.decoder(z_STBK)),
            attention_SBHW=a_SBHW,
            modulation_SBHW=modulation_SBHW,
            quantized_SBHW=quantized_SBHW,
            attention_mean_BHW=mean_BHW,
            attention_std_BHW=std_BHW,
            map_BHW=self._map(mean_BHW),
            latent_mean_SBK=latent_mean_SBK,
            latent_std_SBK=latent_std_SBK,
        )

    def attention_maps(self, x_BCHW: Tensor) -> dict[str, Tensor]:
        """`attention`: the mean of p(a|x), quantised where the model quantises."""
        mean_BHW, _ = self.attention(self.features(x_BCHW))
        return {"attention": self._map(mean_BHW)}

    def _map(self, mean_BHW: Tensor) -> Tensor:
        return mean_BHW if self.quantizer is None else self.quantizer(mean_BHW).values.detach()
