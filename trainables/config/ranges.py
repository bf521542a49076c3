"""The allowed ranges of a trial's numeric fields."""

from collections.abc import Callable
from typing import Any

Range = tuple[Callable[[Any], bool], str]
"""Check of a value, and the allowed values in words."""


def _at_least(low: float) -> Range:
    return (lambda v: v >= low), f"at least {low}"


def _within(low: float, high: float) -> Range:
    return (lambda v: low <= v <= high), f"{low} to {high}"


RANGES: dict[str, Range] = {
    "epochs": _within(1, 100_000),
    "seed": _within(0, 2**31 - 1),
    "model.width": ((lambda v: 0 < v <= 4), "above 0, up to 4"),
    "model.dropout": ((lambda v: 0 <= v < 1), "0 up to, not including, 1"),
    "data.image_size": _within(8, 512),
    "data.stored_size": _within(8, 512),
    "data.train_images": _at_least(1),
    "data.val_images": _at_least(1),
    "data.test_images": _at_least(1),
    "data.split_seed": _within(0, 2**31 - 1),
    "data.crop_padding": _within(0, 64),
    "attention.num_anchors": _within(2, 4096),
    "attention.lambda_q": _at_least(0),
    "attention.lambda_c": _at_least(0),
    "bottleneck.latent_dim": _within(1, 65_536),
    "bottleneck.beta": _at_least(0),
    "bottleneck.kl_scale": _at_least(0),
    "optim.batch_size": _within(2, 65_536),
    "optim.lr": ((lambda v: v > 0), "above 0"),
    "optim.momentum": ((lambda v: 0 <= v < 1), "0 up to, not including, 1"),
    "optim.betas": ((lambda v: len(v) == 2 and all(0 <= b < 1 for b in v)), "two numbers, 0 up to, not including, 1"),
    "optim.weight_decay": _at_least(0),
    "optim.decay_factor": ((lambda v: 0 < v <= 1), "above 0, up to 1"),
    "optim.anchor_lr_ratio": _at_least(0),
    "optim.ema_decay": ((lambda v: 0 <= v < 1), "0 up to, not including, 1"),
    "evaluation.batch_size": _within(1, 65_536),
    "evaluation.attention_samples": _within(1, 1024),
    "evaluation.latent_samples": _within(1, 1024),
    "evaluation.search_attention_samples": _within(1, 1024),
    "evaluation.search_latent_samples": _within(1, 1024),
    "evaluation.interp_images": _at_least(1),
    "evaluation.interp_every_epochs": _at_least(0),
    "evaluation.interp_epoch_images": _at_least(2),
    "evaluation.interp_threshold": ((lambda v: 0 < v < 1), "between 0 and 1"),
    "numerics.num_threads": _within(1, 1024),
}
