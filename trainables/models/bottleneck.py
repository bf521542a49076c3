"""Diagonal Gaussians by reparametrisation: the attention p(a|x), the latent p(z|x, a), and its KL to the prior.

K latent size; `...` any leading dimensions. Everything here runs in float32 or finer, also under autocast.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainables.models.layers import at_least_fp32

KL = Literal["exact", "released"]

LATENT_STD_OFFSET = 5.0
"""std = softplus(h - 5), about 0.007 at the start (the released code; Supplement C names only the softplus)."""


def positive_std(h: Tensor, offset: float) -> Tensor:
    """Standard deviation softplus(h - offset) of a layer's output h."""
    return functional.softplus(at_least_fp32(h) - offset)


def reparameterize(mean: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    """mean + std * noise: a = g(x, eps) and z = f(x, a, eps) of §3.2. Shapes broadcast."""
    return mean + std * noise


def latent_posterior(h_2K: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (..., K) each, from the encoder's 2K outputs (Supplement C: first K, last K)."""
    mean_K, raw_K = h_2K.chunk(2, dim=-1)
    return at_least_fp32(mean_K), positive_std(raw_K, LATENT_STD_OFFSET)


def kl_nats(mean_K: Tensor, std_K: Tensor, kind: KL = "exact") -> Tensor:
    """KL of the latent to r(z) = N(0, I) in nats, summed over K: (..., K) to (...).

    `exact` is D_KL[N(mean, std^2) || N(0, I)] of Eq. 10. `released` is the authors' code, which computes the
    divergence at scale exp(std) although it draws z at scale std; it is at least mean^2 / 2, with its minimum at
    std = 0.
    """
    if kind == "exact":
        # If softplus underflows to 0, the divergence is the largest that float32 can represent, not infinite.
        log_std_K = std_K.clamp_min(torch.finfo(std_K.dtype).tiny).log()
        return 0.5 * (mean_K.square() + std_K.square() - 1 - 2 * log_std_K).sum(-1)
    return 0.5 * (mean_K.square() + (2 * std_K).exp() - 1 - 2 * std_K).sum(-1)
