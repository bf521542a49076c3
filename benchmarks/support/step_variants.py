"""Variants of one training step: our step in every precision, memory format and mode, and the plain fp32 loops."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.support.bare_loop import train_epoch
from benchmarks.support.per_image import PilImages, per_image_steps
from trainables.config.trial import TrialConfig
from trainables.data.augment import augment
from trainables.models.build import build_model
from trainables.models.classifier import Classifier
from trainables.runtime import numerics
from trainables.runtime.randomness import stream
from trainables.training.optim import build_optimizer, learning_rate, set_learning_rate
from trainables.training.step import train_step

Run = Callable[[int], None]
"""Trains a number of steps."""


def varied(base: TrialConfig, precision: str, memory_format: str, mode: str) -> TrialConfig:
    """The trial in one variant; the names are those of `gpu_step`."""
    return base.override(
        {
            "numerics.precision": "bf16" if precision == "bf16" else "fp32",
            "numerics.tf32": precision == "tf32",
            "numerics.channels_last": memory_format == "channels_last",
            "numerics.compile": mode == "compiled",
        }
    )


def prepared(config: TrialConfig, device: torch.device) -> tuple[Classifier, torch.optim.Optimizer]:
    """A new model as `fit` prepares it."""
    numerics.apply(config, device)
    model = numerics.place(build_model(config, 10), config, device)
    optimizer = build_optimizer(model, config.optim)
    set_learning_rate(optimizer, learning_rate(config.optim, 1))
    if config.numerics.compile:
        model.compile(dynamic=False)
    return model.train(), optimizer


def stepping(config: TrialConfig, images_NHWC: Tensor, labels_N: Tensor) -> Run:
    """Our step, over the resident images in order."""
    device = images_NHWC.device
    model, optimizer = prepared(config, device)
    size = config.optim.batch_size

    def steps(count: int) -> None:
        numerics.apply(config, device)
        for step in range(count):
            rows = torch.arange(size, device=device) + size * (step % (len(labels_N) // size))
            losses(model, optimizer, images_NHWC[rows], labels_N[rows], config, step)

    return steps


def losses(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels_B: Tensor,
    config: TrialConfig,
    step: int,
) -> Tensor:
    """One whole step on raw images; the loss, left on the device."""
    device = images.device
    x_BCHW = augment(images, config.data, stream(config.seed, "augment", step, device=device))
    noise = model.draw_noise(len(images), 1, 1, stream(config.seed, "noise", step, device=device))
    return train_step(model, optimizer, x_BCHW, labels_B, noise, config).total


def plain(config: TrialConfig, images_NHWC: Tensor, labels_N: Tensor) -> Run:
    """The plain loop over the resident images."""
    device, size = images_NHWC.device, config.optim.batch_size
    model, optimizer = prepared(config, device)

    def steps(count: int) -> None:
        numerics.apply(config, device)
        left = count
        while left > 0:
            images = min(left, len(labels_N) // size) * size
            train_epoch(model, optimizer, images_NHWC[:images], labels_N[:images], config, left)
            left -= images // size

    return steps


def per_image(config: TrialConfig, images_NHWC: Tensor, labels_N: Tensor, num_workers: int) -> Run:
    """The plain loop, fed image by image by loader processes."""
    device = images_NHWC.device
    model, optimizer = prepared(config, device)
    images = PilImages(images_NHWC.cpu().numpy(), labels_N.tolist(), config)
    train = per_image_steps(model, optimizer, images, config, device, num_workers)

    def steps(count: int) -> None:
        numerics.apply(config, device)
        train(count)

    return steps
