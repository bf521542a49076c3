"""The loss of Eq. 10, in the article's reading and in that of the released code.

Eq. 10 writes every term inside one minus sign; meant is  -log q(y|z) + beta KL + lambda_q ||sg[a] - a_q||^2
+ lambda_c ||a - sg[a_q]||^2, averaged over images and draws. Each difference between the recipes is a field of the
trial, except one that a single draw does not show: `released` takes the cross-entropy of the mean logits.

B batch, C classes, H W map size, K latent size, S attention draws, T latent draws for each of them.
"""

import math
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from trainables.config import AttentionConfig, TrialConfig
from trainables.models.bottleneck import kl_nats
from trainables.models.classifier import Output

__all__ = ["LossTerms", "aib_loss", "codebook_and_commitment", "kl_nats", "nll_nats"]


class LossTerms(NamedTuple):
    """Scalars, means over images and draws. All but `total` are without weights."""

    total: Tensor
    """In nats or bits (`bottleneck.units`)."""
    nll: Tensor
    """Cross-entropy in nats."""
    kl_nats: Tensor
    """The divergence the loss uses (`bottleneck.kl`) in nats, per image, summed over K."""
    codebook: Tensor
    """||sg[a] - a_q||^2 per image; 0 without a quantiser."""
    commitment: Tensor
    """||a - sg[a_q]||^2 per image; 0 without a quantiser."""


def aib_loss(output: Output, labels_B: Tensor, config: TrialConfig) -> LossTerms:
    """Eq. 10 for one batch, labels int64. Codebook moves only anchors, commitment only the attention module."""
    bottleneck, attention = config.bottleneck, config.attention
    nll = nll_nats(output.logits_STBC, labels_B, mean_logits=config.recipe == "released")
    kl = kl_nats(output.latent_mean_SBK, output.latent_std_SBK, bottleneck.kl).mean()
    codebook, commitment = codebook_and_commitment(output, attention)
    per_nat = 1 / math.log(2) if bottleneck.units == "bits" else 1.0
    total = per_nat * (nll + bottleneck.beta * bottleneck.kl_scale * kl)
    total = total + attention.lambda_q * codebook + attention.lambda_c * commitment
    return LossTerms(total, nll, kl, codebook, commitment)


def nll_nats(logits_STBC: Tensor, labels_B: Tensor, *, mean_logits: bool) -> Tensor:
    """Cross-entropy in nats: its mean over images and draws (Eq. 10), or that of the mean logits over the draws."""
    if mean_logits:
        return functional.cross_entropy(logits_STBC.mean((0, 1)), labels_B)
    return functional.cross_entropy(logits_STBC.flatten(0, 2), labels_B.expand(logits_STBC.shape[:3]).flatten())


def codebook_and_commitment(output: Output, attention: AttentionConfig) -> tuple[Tensor, Tensor]:
    """The two squared distances between a and a_q, equal in value, with the gradient to one side each (§3.3).

    Over the cells of a map they are summed (Eq. 10) or averaged (released code), by `quantizer_reduction`.
    """
    if output.quantized_SBHW is None:
        zero = output.attention_SBHW.new_zeros(())
        return zero, zero
    a, a_q = output.attention_SBHW, output.quantized_SBHW
    cells = a.shape[-2] * a.shape[-1] if attention.quantizer_reduction == "sum" else 1
    return cells * functional.mse_loss(a_q, a.detach()), cells * functional.mse_loss(a, a_q.detach())
