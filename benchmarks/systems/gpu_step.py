"""GPU step: training images/s at batch 128 for every precision, memory format and mode, against a plain fp32 loop.

Data lie on the device; a step is augmentation, noise, forward, loss, backward and update. Other: the same model and
loss in fp32 without TF32, contiguous, eager, with the loss read after every step, fed image by image through PIL and
torchvision by loader processes, as the released code is; the same loop on resident data stands beside it. A model's
share of the ceiling counts three passes of its multiply-accumulates an image against one large matrix product in the
same precision. Parity: fp32 and bf16 from the same weights, on the same images and the same noise, over several seeds;
the distance between the two losses beside the distance between two seeds of fp32. Runs without Ray.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.support.bare_loop import train_epoch
from benchmarks.support.ceiling import multiply_accumulates_per_s
from benchmarks.support.measure import Figure, interleave, median, run
from benchmarks.support.per_image import PilImages, per_image_steps
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import Split
from trainables.data.augment import augment
from trainables.data.splits import Subset
from trainables.evaluation.evaluate import evaluate, search_draws
from trainables.models.build import build_model
from trainables.models.classifier import Classifier
from trainables.models.counts import count
from trainables.runtime import numerics
from trainables.runtime.randomness import stream
from trainables.runtime.runtime import Runtime
from trainables.training.optim import build_optimizer, learning_rate, set_learning_rate
from trainables.training.step import train_step

MODELS = ("vgg", "vgg-aib", "vgg-aib-qt", "wrn", "wrn-aib", "wrn-aib-qt")
MEASURED = "vgg-aib-qt"
PRECISIONS = ("fp32", "tf32", "bf16")
FORMATS = ("contiguous", "channels_last")
MODES = ("eager", "compiled")
PLAIN, PER_IMAGE = "plain fp32 eager loop", "plain fp32 eager loop with a per-image loader"
PASSES = 3
"""Forward, and backward to the inputs and to the weights: each costs about the same multiply-accumulates."""
EPOCHS, TRAIN_IMAGES, EVALUATED_IMAGES = 200, 45_000, 15_000
"""The paper's training on CIFAR-10 with a tenth set aside; validation and test images, seen after every epoch."""
Run = Callable[[int], None]
"""Trains for so many steps."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--models", nargs="+", default=[MEASURED], choices=MODELS)
    parser.add_argument("--width", type=float, default=1.0, help="share of the paper's channels")
    parser.add_argument("--steps", type=int, default=30, help="steps of a measured round")
    parser.add_argument("--parity-steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--loader-workers", type=int, default=2, help="processes of the per-image loader")


def measure(chosen: argparse.Namespace) -> Figure:
    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("this machine has no GPU that torch can use; try the script itself with --device cpu --quick.")
    if chosen.quick:
        chosen.width, chosen.steps, chosen.parity_steps, chosen.rounds = 0.0625, 1, 2, 1
    batch, rounds = 8 if chosen.quick else 128, chosen.rounds
    ceiling = multiply_accumulates_per_s(device, 256 if chosen.quick else 8192, rounds)
    found = {}
    for name in chosen.models:
        found[name] = one_model(name, chosen, device, batch, rounds, ceiling)
        tell(name, found[name])
    first = found[chosen.models[0]]
    return Figure(
        name="gpu_step" if chosen.models[0] == MEASURED else f"gpu_step_{chosen.models[0].replace('-', '_')}",
        ours=first["images_per_s"][first["fastest"]],
        other=first["images_per_s"][PER_IMAGE],
        ratio=first["speedup"],
        unit=f"images/s of {chosen.models[0]}",
        what={"ours": f"train_step, {first['fastest']}", "other": PER_IMAGE, "ratio": "ours / other"},
        details={
            "device": str(device),
            "batch": batch,
            "width": chosen.width,
            "steps_per_round": chosen.steps,
            "rounds": rounds,
            "loader_workers": chosen.loader_workers,
            "matrix_product_macs_per_s": ceiling,
            "models": found,
        },
    )


def one_model(
    name: str,
    chosen: argparse.Namespace,
    device: torch.device,
    batch: int,
    rounds: int,
    ceiling: Mapping[str, float],
) -> dict[str, Any]:
    """Images/s of every variant, its share of the ceiling, the time of a whole training, how far bf16 is from fp32.

    A variant that fails is named in `failed` and left out; ValueError where none is left.
    """
    if "compiled" in chosen.modes:
        # All models of a kind share one `forward`, of which the compiler keeps eight graphs and then none.
        torch.compiler.reset()
    base = TrialConfig.from_dict(
        {
            "model": name,
            "dataset": "cifar10",
            "model.width": chosen.width,
            "optim.batch_size": batch,
            "optim.lr": 0.01,
            "numerics.deterministic": False,
        }
    )
    images_NHWC = torch.randint(0, 256, (8 * batch, 32, 32, 3), generator=stream("images")).to(torch.uint8).to(device)
    labels_N = torch.randint(0, 10, (8 * batch,), generator=stream("labels")).to(device)
    runs = {
        PLAIN: plain(base, images_NHWC, labels_N),
        PER_IMAGE: per_image(base, images_NHWC, labels_N, chosen.loader_workers),
    }
    # The first steps compile, choose algorithms and fill the allocator.
    warm_s, failed = {label: seconds(steps, 3, device) for label, steps in runs.items()}, {}
    for variant in product(chosen.precisions, chosen.formats, chosen.modes):
        label = " ".join(variant)
        try:
            steps = stepping(varied(base, *variant), images_NHWC, labels_N)
            warm_s[label] = seconds(steps, 3, device)
        except Exception as error:
            # Whatever the compiler or the GPU says of one variant, the others are measured.
            failed[label] = f"{type(error).__name__}: {error}"[:1000]
            print(f"{name}, {label}: failed, {failed[label]}", file=sys.stderr)
            continue
        runs[label] = steps
        print(f"{name}, {label}: first three steps {warm_s[label]:.3g} s", file=sys.stderr)
    if set(runs) == {PLAIN, PER_IMAGE}:
        raise ValueError(f"no variant of {name} runs: {failed}.")

    def rate(steps: Run) -> Callable[[], float]:
        return lambda: batch * chosen.steps / seconds(steps, chosen.steps, device)

    rates = interleave({label: rate(steps) for label, steps in runs.items()}, rounds)
    best = {label: median(values) for label, values in rates.items()}
    tell(name, {"images_per_s": best, "failed": failed})
    fastest = max((label for label in best if label not in (PLAIN, PER_IMAGE)), key=lambda label: best[label])
    macs = count(base, 10).macs
    evaluated = evaluation_rate(varied(base, *fastest.split(" ")), images_NHWC, chosen.steps)
    return {
        "images_per_s": best,
        "failed": failed,
        "macs_per_image": macs,
        "share_of_matrix_product": {
            label: PASSES * macs * rate / ceiling["fp32" if label in (PLAIN, PER_IMAGE) else label.split(" ")[0]]
            for label, rate in best.items()
        },
        "fastest": fastest,
        "speedup": best[fastest] / best[PER_IMAGE],
        "speedup_over_resident_data": best[fastest] / best[PLAIN],
        "evaluation_images_per_s": evaluated,
        "extrapolated": {
            "what": f"minutes of {EPOCHS} epochs of {TRAIN_IMAGES} images, {EVALUATED_IMAGES} evaluated after each, "
            "without checkpoints and the many-sample scores of the end; not a measured training",
            "minutes": EPOCHS * (TRAIN_IMAGES / best[fastest] + EVALUATED_IMAGES / evaluated) / 60,
            "minutes_of_the_per_image_loop": EPOCHS * (TRAIN_IMAGES / best[PER_IMAGE]) / 60,
        },
        "first_three_steps_s": warm_s,
        "parity": parity(base, images_NHWC, labels_N, chosen.parity_steps),
    }


def tell(name: str, found: Mapping[str, Any]) -> None:
    """What there is of a model, as one line on stderr: the figure itself comes last, and a visit may end before."""
    print(json.dumps({"model": name, **found}), file=sys.stderr, flush=True)


def varied(base: TrialConfig, precision: str, memory_format: str, mode: str) -> TrialConfig:
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
    device = images_NHWC.device
    model, optimizer = prepared(config, device)
    images = PilImages(images_NHWC.cpu().numpy(), labels_N.tolist(), config)
    train = per_image_steps(model, optimizer, images, config, device, num_workers)

    def steps(count: int) -> None:
        numerics.apply(config, device)
        train(count)

    return steps


def evaluation_rate(config: TrialConfig, images_NHWC: Tensor, count: int) -> float:
    """Images/s of `count` batches of the evaluation after an epoch, as `fit` runs it."""
    device, num_images = images_NHWC.device, config.evaluation.batch_size * count
    model, _ = prepared(config, device)
    split = Split(images_NHWC.cpu().numpy(), np.zeros(len(images_NHWC), np.int64))
    subset = Subset(split, np.arange(num_images) % len(images_NHWC))
    runtime = Runtime(data_root=Path(), device=device)

    def passes(times: int) -> None:
        for _ in range(times):
            evaluate(model, subset, "val", config, runtime, search_draws(config))

    seconds(passes, 1, device)
    return num_images / seconds(passes, 1, device)


def seconds(steps: Run, count: int, device: torch.device) -> float:
    """Until the device has done them."""
    started_s = time.perf_counter()
    steps(count)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started_s


def parity(base: TrialConfig, images_NHWC: Tensor, labels_N: Tensor, count: int) -> dict[str, Any]:
    """Mean loss of the last tenth of a short run, by precision and seed."""
    size, last = base.optim.batch_size, max(1, count // 10)
    ended: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for seed, precision in product(range(3), ended):
        config = varied(base, precision, "contiguous", "eager").override({"seed": seed})
        model, optimizer = prepared(config, images_NHWC.device)
        found = []
        for step in range(count):
            rows = torch.arange(size, device=images_NHWC.device) + size * (step % (len(labels_N) // size))
            found.append(losses(model, optimizer, images_NHWC[rows], labels_N[rows], config, step))
        ended[precision].append(torch.stack(found[-last:]).double().mean().item())
    pairs = list(zip(ended["fp32"], ended["bf16"], strict=True))
    return {
        "steps": count,
        "last_loss": ended,
        "largest_distance": max(abs(first - second) for first, second in pairs),
        "between_fp32_seeds": max(ended["fp32"]) - min(ended["fp32"]),
    }


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
