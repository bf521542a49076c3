"""A backbone without attention and bottleneck: rows VGG and WRN of Table 1.

B batch, C classes.
"""

from torch import Tensor, nn

from trainables.models.classifier import Classifier, Noise, Output
from trainables.models.layers import at_least_fp32


class Plain(Classifier):
    """Features and an encoder whose outputs are the logits; no map, no draws."""

    def __init__(self, *, features: nn.Module, encoder: nn.Module) -> None:
        """`encoder` maps features to (B, C)."""
        super().__init__()
        self.features = features
        self.encoder = encoder

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        logits_BC = at_least_fp32(self.encoder(self.features(x_BCHW)))
        return Output(logits_STBC=logits_BC[None, None], maps={})
