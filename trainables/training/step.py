"""One training step: forward pass on the rank's share of the global batch, loss, backward pass, update."""

import torch
from torch import nn

from trainables.config.trial import TrialConfig
from trainables.models.classifier import Noise
from trainables.runtime import numerics
from trainables.training.losses import LossTerms, loss_terms


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x_BCHW: torch.Tensor,
    labels_B: torch.Tensor,
    noise: Noise,
    config: TrialConfig,
    share: float = 1.0,
) -> LossTerms:
    """Updates the model in place and returns the terms, detached, as means over this rank's images.

    `share` is this rank's number of images, times the number of ranks, divided by the global batch size. DDP averages
    gradients over ranks; `share` makes this the gradient of the joined batch, even if ranks have unequal shares.
    """
    optimizer.zero_grad(set_to_none=True)
    with numerics.autocast(config, x_BCHW.device):
        terms = loss_terms(model(x_BCHW, noise), labels_B, config)
    (terms.total * share).backward()
    optimizer.step()
    return LossTerms(**{name: term.detach() for name, term in terms.present().items()})
