"""The loss of every model: Eq. 10, as the article and as the released code read it.

Eq. 10 puts all terms inside one minus sign; we read it as  -log q(y|z) + beta KL + lambda_q ||sg[a] - a_q||^2
+ lambda_c ||a - sg[a_q]||^2, averaged over images and draws. Without a bottleneck there is no KL, without a quantiser
there are no squared distances; a second head adds its own cross-entropy, unweighted (ABN). Each difference between the
recipes is a field of the trial, with one exception that a single draw does not show: `released` takes the
cross-entropy of the mean logits.

B batch, C classes, H W map size, K latent size, S attention draws, T latent draws for each of them.
"""

import math
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from trainables.config.trial import AttentionConfig, TrialConfig
from trainables.models.bottleneck import kl_nats
from trainables.models.classifier import Output

__all__ = ["LossTerms", "codebook_and_commitment", "kl_nats", "loss_terms", "nll_nats"]


class LossTerms(NamedTuple):
    """Scalars, means over images and draws; None for a term that the model lacks. Only `total` is weighted."""

    total: Tensor
    """In nats or bits (`bottleneck.units`)."""
    nll: Tensor
    """Cross-entropy in nats."""
    kl_nats: Tensor | None = None
    """The divergence the loss uses (`bottleneck.kl`) in nats, per image, summed over K."""
    codebook: Tensor | None = None
    """||sg[a] - a_q||^2 per image."""
    commitment: Tensor | None = None
    """||a - sg[a_q]||^2 per image."""
    auxiliary_nll: Tensor | None = None
    """Cross-entropy of the second head in nats."""

    def present(self) -> dict[str, Tensor]:
        """The terms that the model has, by name."""
        return {name: term for name, term in self._asdict().items() if term is not None}


def loss_terms(output: Output, labels_B: Tensor, config: TrialConfig) -> LossTerms:
    """The loss of one batch, labels int64. Codebook moves only anchors, commitment only the attention module."""
    bottleneck, attention = config.bottleneck, config.attention
    kl = codebook = commitment = auxiliary = None
    nll = nll_nats(output.logits_STBC, labels_B, mean_logits=config.recipe == "released")
    total = nll
    if output.latent is not None:
        kl = kl_nats(output.latent.mean_SBK, output.latent.std_SBK, bottleneck.kl).mean()
        total = total + bottleneck.beta * bottleneck.kl_scale * kl
    if output.auxiliary_logits_BC is not None:
        auxiliary = functional.cross_entropy(output.auxiliary_logits_BC, labels_B)
        total = total + auxiliary
    if bottleneck.units == "bits":
        total = total / math.log(2)
    if output.attention is not None and output.attention.quantized_SBHW is not None:
        codebook, commitment = codebook_and_commitment(
            output.attention.draws_SBHW, output.attention.quantized_SBHW, attention
        )
        total = total + attention.lambda_q * codebook + attention.lambda_c * commitment
    return LossTerms(total, nll, kl, codebook, commitment, auxiliary)


def nll_nats(logits_STBC: Tensor, labels_B: Tensor, *, mean_logits: bool) -> Tensor:
    """Mean cross-entropy in nats over images and draws (Eq. 10), or over images of the draws' mean logits."""
    if mean_logits:
        return functional.cross_entropy(logits_STBC.mean((0, 1)), labels_B)
    return functional.cross_entropy(logits_STBC.flatten(0, 2), labels_B.expand(logits_STBC.shape[:3]).flatten())


def codebook_and_commitment(a_SBHW: Tensor, a_q_SBHW: Tensor, attention: AttentionConfig) -> tuple[Tensor, Tensor]:
    """The squared distance between a and a_q twice: with the gradient to a_q only, and to a only (§3.3).

    `quantizer_reduction` sums it over the cells of a map (Eq. 10) or averages it (released code).
    """
    cells = a_SBHW.shape[-2] * a_SBHW.shape[-1] if attention.quantizer_reduction == "sum" else 1
    return (
        cells * functional.mse_loss(a_q_SBHW, a_SBHW.detach()),
        cells * functional.mse_loss(a_SBHW, a_q_SBHW.detach()),
    )
