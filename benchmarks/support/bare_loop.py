"""A plain training loop over the same model, data and loss: no reports, no checkpoints.

It keys random draws as the project does. So both loops do the same arithmetic and must give the same numbers.
"""

import torch
from torch import Tensor

from trainables.config.trial import TrialConfig
from trainables.data.augment import augment, normalize
from trainables.models.classifier import Classifier, Noise
from trainables.runtime.randomness import stream
from trainables.training.losses import loss_terms


def train_epoch(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    images_NHWC: Tensor,
    labels_N: Tensor,
    config: TrialConfig,
    epoch: int,
) -> float:
    """Trains one shuffled pass; returns the mean loss over its images."""
    device = images_NHWC.device
    model.train()
    total = 0.0
    order_N = torch.randperm(len(labels_N), generator=stream(config.seed, "order", epoch))
    for step, rows in enumerate(order_N.to(device).split(config.optim.batch_size)):
        key = (epoch, step, 0)
        x_BCHW = augment(images_NHWC[rows], config.data, stream(config.seed, "augment", *key, device=device))
        noise = model.draw_noise(len(rows), 1, 1, stream(config.seed, "noise", *key, device=device))
        total += plain_step(model, optimizer, x_BCHW, labels_N[rows], noise, config) * len(rows)
    return total / len(labels_N)


def plain_step(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    x_BCHW: Tensor,
    labels_B: Tensor,
    noise: Noise,
    config: TrialConfig,
) -> float:
    """Makes one update; returns the loss, read from the device."""
    loss = loss_terms(model(x_BCHW, noise), labels_B, config).total
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def error_pct(model: Classifier, images_NHWC: Tensor, labels_N: Tensor, split: str, config: TrialConfig) -> float:
    """Share of wrongly classified images, with one draw."""
    device, size, errors = images_NHWC.device, config.evaluation.batch_size, 0
    model.eval()
    with torch.inference_mode():
        for number, (images_BHWC, labels_B) in enumerate(
            zip(images_NHWC.split(size), labels_N.split(size), strict=True)
        ):
            noise = model.draw_noise(len(labels_B), 1, 1, stream(config.seed, "evaluate", split, number, device=device))
            logits_BC = model(normalize(images_BHWC, config.data), noise).logits_STBC[0, 0]
            errors += int((logits_BC.argmax(1) != labels_B).sum())
    return 100.0 * errors / len(labels_N)
