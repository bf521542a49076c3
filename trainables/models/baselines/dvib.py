"""Deep variational information bottleneck (Alemi et al., 2017): AIB without its attention.

The article gives no details of its row VGG-DVIB. This control differs from AIB in the attention alone: same encoder,
decoder, prior N(0, I) and beta.
B batch, C classes, K latent size, T latent draws; S = 1, because there is no attention to draw.
"""

from torch import Tensor, nn

from trainables.models.bottleneck import latent_posterior, reparameterize
from trainables.models.classifier import Classifier, Latent, Noise, Output
from trainables.models.layers import at_least_fp32


class DVIB(Classifier):
    """Features, encoder p(z|x), decoder q(y|z); no map."""

    def __init__(self, *, features: nn.Module, encoder: nn.Module, decoder: nn.Module, latent_dim: int) -> None:
        """`encoder` maps features to (B, 2K), `decoder` (..., K) to (..., C)."""
        super().__init__(latent_dim=latent_dim)
        self.features = features
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        """Features and encoder run once per image, the decoder once per latent draw."""
        assert noise.latent_STBK is not None
        h_SB2K = self.encoder(self.features(x_BCHW)).unsqueeze(0)
        latent = Latent(*latent_posterior(h_SB2K))
        z_STBK = reparameterize(latent.mean_SBK.unsqueeze(1), latent.std_SBK.unsqueeze(1), noise.latent_STBK)
        return Output(logits_STBC=at_least_fp32(self.decoder(z_STBK)), maps={}, latent=latent)
