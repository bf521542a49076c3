"""The optimiser, SGD (Supplement C) or Adam (released code for CUB-200), and its learning rate for each epoch."""

import torch
from torch import nn

from trainables.config.trial import OptimConfig

ANCHORS = "anchors"
"""Last part of the name of the quantiser's parameter, which may have its own learning rate."""


def learning_rate(optim: OptimConfig, epoch: int) -> float:
    """The learning rate of a 1-based epoch; depends on nothing else, so there is no scheduler state to restore."""
    if epoch <= len(optim.warmup_lrs):
        return optim.warmup_lrs[epoch - 1]
    decays = sum(epoch >= at for at in optim.decay_at_epochs)
    return float(optim.lr * optim.decay_factor**decays)


def build_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """`optim.algorithm` with weight decay on every parameter (Supplement C); the anchors have their own group."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    both = [
        {"params": [p for name, p in named if not _is_anchor(name)], "lr_ratio": 1.0},
        {"params": [p for name, p in named if _is_anchor(name)], "lr_ratio": optim.anchor_lr_ratio},
    ]
    groups = [group for group in both if group["params"]]
    if optim.algorithm == "adam":
        first, second = optim.betas
        return torch.optim.Adam(groups, lr=optim.lr, betas=(first, second), weight_decay=optim.weight_decay)
    return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the epoch's learning rate, scaled by the ratio of each group."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_ratio"]


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state, by quantity and parameter: `momentum_buffer/NAME`, `exp_avg/NAME`, ..."""
    return {
        f"{quantity}/{name}": value
        for name, p in model.named_parameters()
        for quantity, value in optimizer.state.get(p, {}).items()
        if value is not None
    }


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, torch.Tensor]) -> None:
    """The inverse of `optimizer_state`."""
    parameters = dict(model.named_parameters())
    for key, value in state.items():
        quantity, name = key.split("/", 1)
        p = parameters[name]
        # Laid out as the parameter is: where the two differ, the optimiser goes through the parameters one by one.
        # Adam counts its steps on the CPU, wherever the parameter is.
        optimizer.state[p][quantity] = torch.empty_like(p).copy_(value) if value.shape == p.shape else value.clone()


def _is_anchor(name: str) -> bool:
    return name.rsplit(".", 1)[-1] == ANCHORS
