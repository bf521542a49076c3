"""SGD as in Supplement C, and its learning-rate schedule as a function of the epoch alone."""

import torch
from torch import nn

from trainables.config import OptimConfig

ANCHORS = "anchors"
"""Last part of the name of the quantiser's parameter, which may have a learning rate of its own."""


def learning_rate(optim: OptimConfig, epoch: int) -> float:
    """The rate of a 1-based epoch; depends on nothing else, so a resumed run has no scheduler to restore."""
    if epoch <= len(optim.warmup_lrs):
        return optim.warmup_lrs[epoch - 1]
    decays = sum(epoch >= at for at in optim.decay_at_epochs)
    return float(optim.lr * optim.decay_factor**decays)


def build_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.SGD:
    """SGD with momentum and weight decay on every parameter (Supplement C); anchors in a group of their own."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if not _is_anchor(name)], "lr_ratio": 1.0},
        {"params": [p for name, p in named if _is_anchor(name)], "lr_ratio": optim.anchor_lr_ratio},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=optim.lr,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the epoch's rate, scaled in each group by its ratio."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_ratio"]


def momentum_state(model: nn.Module, optimizer: torch.optim.SGD) -> dict[str, torch.Tensor]:
    """The optimiser's only state, one buffer per parameter, by the parameter's name."""
    return {
        name: optimizer.state[p]["momentum_buffer"]
        for name, p in model.named_parameters()
        if optimizer.state.get(p, {}).get("momentum_buffer") is not None
    }


def load_momentum(model: nn.Module, optimizer: torch.optim.SGD, state: dict[str, torch.Tensor]) -> None:
    """The inverse of `momentum_state`."""
    for name, p in model.named_parameters():
        if name in state:
            optimizer.state[p]["momentum_buffer"] = state[name].to(p.device).clone()


def _is_anchor(name: str) -> bool:
    return name.rsplit(".", 1)[-1] == ANCHORS
