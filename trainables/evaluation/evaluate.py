"""Many-sample evaluation: features once per image, encoder once per attention draw, decoder once per latent draw.

Each batch is whole on one rank and its number keys its noise, so any number of ranks gives the same figures to the
last bit.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch.nn import functional

from trainables.config.trial import TrialConfig
from trainables.data.augment import normalize
from trainables.data.device_images import evaluation_tensors
from trainables.data.splits import Subset
from trainables.interpretability import contrast
from trainables.models.bottleneck import kl_nats
from trainables.models.classifier import Classifier, Output
from trainables.runtime import numerics
from trainables.runtime.progress import advance
from trainables.runtime.randomness import stream
from trainables.runtime.runtime import Runtime
from trainables.runtime.sharding import Sharding
from trainables.runtime.sums import BatchSums

_QUANTITIES = ("images", "errors", "top5_errors", "nll")
_OF_LATENT = ("kl_nats",)
_OF_MAP = ("attention_std", "attention_entropy")


BatchObserver = Callable[[slice, torch.Tensor, torch.Tensor, Output], None]
"""Called with every batch of the rank: rows of the subset, labels (B), averaged logits (B, C), the model's output."""


class Draws(NamedTuple):
    """Number of attention maps a per image, and of latents z per map."""

    attention: int
    latent: int


def search_draws(config: TrialConfig) -> Draws:
    """Draws of the evaluations during training."""
    return Draws(config.evaluation.search_attention_samples, config.evaluation.search_latent_samples)


def final_draws(config: TrialConfig) -> Draws:
    """Draws of the evaluation at the end (Supplement C: 4 of a, 12 of z)."""
    return Draws(config.evaluation.attention_samples, config.evaluation.latent_samples)


def predict_batch(
    model: Classifier, images_BHWC: torch.Tensor, config: TrialConfig, draws: Draws, generator: torch.Generator
) -> tuple[torch.Tensor, Output]:
    """Logits averaged over the draws (B, C), and the model's whole output, for raw uint8 images on its device."""
    # Draws that quantise to the same map share one run of the encoder, so that its batch size varies.
    varying = config.quantized and draws.attention > 1
    odd = varying or len(images_BHWC) != config.evaluation.batch_size
    with (
        torch.inference_mode(),
        numerics.autocast(config, images_BHWC.device),
        numerics.untuned() if varying else nullcontext(),
        numerics.uncompiled() if odd else nullcontext(),
    ):
        x_BCHW = normalize(images_BHWC, config.data)
        noise = model.draw_noise(len(x_BCHW), draws.attention, draws.latent, generator)
        output = model(x_BCHW, noise)
        advance()
        return output.logits_STBC.float().mean((0, 1)), output


def shard(subset: Subset, config: TrialConfig, runtime: Runtime) -> Sharding:
    """The rank's share of a pass over the subset."""
    return Sharding(
        num_images=len(subset),
        batch_size=config.evaluation.batch_size,
        rank=runtime.rank,
        world_size=runtime.world_size,
    )


def evaluate(
    model: Classifier,
    subset: Subset,
    split: str,
    config: TrialConfig,
    runtime: Runtime,
    draws: Draws,
    observe: BatchObserver | None = None,
) -> dict[str, float]:
    """Error, top-5 error and cross-entropy in nats; collective over the ranks.

    With a bottleneck also its KL in nats; with maps also `attention_std` and `attention_entropy`, which are
    `interpretability.contrast` of each image's headline map, averaged over images.
    """
    model.eval()
    sharding = shard(subset, config, runtime)
    images_NHWC, labels_N = evaluation_tensors(subset, runtime.device)
    found = (*(_OF_LATENT if model.latent_dim is not None else ()), *(_OF_MAP if model.map_sizes else ()))
    sums = BatchSums(sharding.num_batches, (*_QUANTITIES, *found))
    for number, rows in sharding.batches():
        generator = stream(config.seed, "evaluate", split, number, device=runtime.device)
        logits_BC, output = predict_batch(model, images_NHWC[rows], config, draws, generator)
        sums.add(number, _batch_sums(logits_BC, labels_N[rows], output))
        if observe is not None:
            observe(rows, labels_N[rows], logits_BC, output)
    total = sums.totals(runtime.world_size)
    n = total["images"]
    return {
        "error_pct": 100.0 * total["errors"] / n,
        "error_top5_pct": 100.0 * total["top5_errors"] / n,
        "nll": total["nll"] / n,
        **{name: total[name] / n for name in found},
    }


def _batch_sums(logits_BC: torch.Tensor, labels_B: torch.Tensor, output: Output) -> dict[str, float | torch.Tensor]:
    num_top = min(5, logits_BC.shape[1])
    top_BT = logits_BC.topk(num_top, dim=1).indices
    sums: dict[str, float | torch.Tensor] = {
        "images": float(len(labels_B)),
        "errors": (logits_BC.argmax(1) != labels_B).sum(),
        "top5_errors": (top_BT != labels_B[:, None]).all(1).sum(),
        "nll": functional.cross_entropy(logits_BC, labels_B, reduction="sum").double(),
    }
    if output.latent is not None:
        sums["kl_nats"] = kl_nats(output.latent.mean_SBK, output.latent.std_SBK).mean(0).double().sum()
    if output.maps:
        map_BHW = next(iter(output.maps.values()))
        sums["attention_std"] = contrast.std(map_BHW).sum()
        sums["attention_entropy"] = contrast.entropy(map_BHW).sum()
    return sums
