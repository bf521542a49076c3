"""Many-sample evaluation: 4 attention draws with 12 latent draws each, against 48 whole forward passes.

Both use the same noise, and the script compares their averaged logits. It then scores the ten modifications of Table 2
and counts the images that pass through the network: 11 passes mean the clean images and each modification once.
"""

import argparse
import sys

import torch
from torch import Tensor, nn

from benchmarks.support.measure import Figure, interleave, median, run, timed
from trainables.config.trial import TrialConfig
from trainables.data.augment import normalize
from trainables.evaluation.evaluate import Draws, predict_batch
from trainables.evaluation.final_score import predictor
from trainables.interpretability.score import score_interpretability
from trainables.metrics import MODIFICATIONS
from trainables.models.build import build_model
from trainables.models.classifier import Classifier, Noise
from trainables.runtime.randomness import stream
from trainables.runtime.sharding import Sharding

TOLERANCE = 1e-4
"""Largest allowed difference of averaged logits: the order of sums changes when more images share a convolution."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="vgg-aib-qt")
    parser.add_argument("--width", type=float, default=0.5, help="share of the paper's channels")


def measure(chosen: argparse.Namespace) -> Figure:
    torch.set_num_threads(1)
    width, num_images, rounds = (0.0625, 8, 2) if chosen.quick else (chosen.width, 64, 7)
    config = TrialConfig.from_dict({"model": chosen.model, "dataset": "cifar10", "model.width": width})
    draws = Draws(config.evaluation.attention_samples, config.evaluation.latent_samples)
    model = build_model(config, 10).eval()
    images_BHWC = torch.randint(0, 256, (num_images, 32, 32, 3), generator=stream("images")).to(torch.uint8)
    settle(model, images_BHWC, config)
    found: dict[str, Tensor] = {}

    def ours() -> float:
        def passes() -> None:
            found["ours"] = predict_batch(model, images_BHWC, config, draws, stream("draws"))[0]

        return timed(passes).cpu_s

    def other() -> float:
        def passes() -> None:
            found["other"] = naive(model, images_BHWC, config, draws)

        return timed(passes).cpu_s

    ours(), other()
    seconds = interleave({"ours": ours, "other": other}, rounds)
    difference = (found["ours"] - found["other"]).abs().max().item()
    if difference > TOLERANCE:
        raise AssertionError(f"the two evaluations differ by {difference}")
    best = {name: median(values) for name, values in seconds.items()}
    return Figure(
        name="evaluation",
        ours=best["ours"],
        other=best["other"],
        ratio=best["other"] / best["ours"],
        unit="CPU seconds per batch",
        what={
            "ours": "features once, the encoder once per distinct map, the decoder once per latent draw",
            "other": f"{draws.attention * draws.latent} forward passes of one draw each",
            "ratio": "other / ours",
        },
        details={
            "model": config.model.name,
            "width": width,
            "images": num_images,
            "draws": draws._asdict(),
            "largest_logit_difference": difference,
            "encoder_passes_per_image": encoder_passes(model, images_BHWC, config, draws),
            "seconds_by_round": seconds,
            "modifications": len(MODIFICATIONS),
            "modification_passes": modification_passes(model, images_BHWC, config, draws),
        },
    )


def settle(model: Classifier, images_BHWC: Tensor, config: TrialConfig) -> None:
    """Sets BatchNorm's statistics from these images; without them, activations of a new network vanish."""
    model.train()
    for step in range(10):
        with torch.no_grad():
            noise = model.draw_noise(len(images_BHWC), 1, 1, stream("settle", step))
            model(normalize(images_BHWC, config.data), noise)
    model.eval()


def naive(model: Classifier, images_BHWC: Tensor, config: TrialConfig, draws: Draws) -> Tensor:
    """Logits (B, C) averaged over one full pass per pair of draws, with the noise of `predict_batch`."""
    noise = model.draw_noise(len(images_BHWC), draws.attention, draws.latent, stream("draws"))
    assert noise.attention_SBHW is not None
    assert noise.latent_STBK is not None
    total_BC = torch.zeros(())
    with torch.inference_mode():
        for s in range(draws.attention):
            for t in range(draws.latent):
                one = Noise(noise.attention_SBHW[s : s + 1], noise.latent_STBK[s : s + 1, t : t + 1])
                total_BC = total_BC + model(normalize(images_BHWC, config.data), one).logits_STBC[0, 0]
    return total_BC / (draws.attention * draws.latent)


class Counter:
    """Counts the images that enter a module."""

    def __init__(self, module: nn.Module) -> None:
        self.images = 0
        self._handle = module.register_forward_pre_hook(self._count)

    def _count(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.images += len(inputs[0])

    def stop(self) -> int:
        self._handle.remove()
        return self.images


def encoder_passes(model: Classifier, images_BHWC: Tensor, config: TrialConfig, draws: Draws) -> float:
    """Encoder passes per image; at most the number of attention draws."""
    counter = Counter(model.get_submodule("encoder"))
    predict_batch(model, images_BHWC, config, draws, stream("draws"))
    return counter.stop() / len(images_BHWC)


def modification_passes(model: Classifier, images_BHWC: Tensor, config: TrialConfig, draws: Draws) -> float:
    """Passes through the feature layers per scored image, when all modifications are scored."""
    counter = Counter(model.get_submodule("features"))
    score_interpretability(
        predictor(model, config, draws, torch.device("cpu")),
        images_BHWC,
        Sharding(num_images=len(images_BHWC), batch_size=max(2, len(images_BHWC) // 2)),
        occluders_MHWC=images_BHWC,
        config=config.evaluation,
        seed=0,
    )
    return counter.stop() / len(images_BHWC)


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
