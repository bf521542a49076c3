"""One training step: the rank's share of the global batch through the model, its loss, one SGD update."""

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

    `share` is this rank's images times the number of ranks over the global batch: DDP averages gradients over ranks,
    and with it the average is that of the joined batch also where ranks hold unequally many images.
    """
    optimizer.zero_grad(set_to_none=True)
    with numerics.autocast(config, x_BCHW.device):
        terms = loss_terms(model(x_BCHW, noise), labels_B, config)
    (terms.total * share).backward()
    optimizer.step()
    return LossTerms(**{name: term.detach() for name, term in terms.present().items()})
