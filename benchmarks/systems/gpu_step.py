"""GPU step: training images/s at batch 128 for every precision, memory format and mode, against a plain fp32 loop.

Ours: the data lie on the device; a step is augmentation, noise, forward, loss, backward and update. Other: the same
model and loss in fp32 without TF32, contiguous and eager. It reads the loss after every step. Loader processes feed it
image by image through PIL and torchvision, as in the released code. A third loop is the plain one on resident data.

The share of the ceiling compares three passes of a model's multiply-accumulates per image with one large matrix product
in the same precision. Parity trains fp32 and bf16 from the same weights on the same images and noise, over several
seeds. It shows the distance between the two losses beside the distance between two seeds of fp32. Needs no Ray.
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

from benchmarks.support.ceiling import multiply_accumulates_per_s
from benchmarks.support.measure import Figure, interleave, median, run
from benchmarks.support.step_variants import Run, losses, per_image, plain, prepared, stepping, varied
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import Split
from trainables.data.splits import Subset
from trainables.evaluation.evaluate import evaluate, search_draws
from trainables.models.counts import count
from trainables.runtime.randomness import stream
from trainables.runtime.runtime import Runtime

MODELS = ("vgg", "vgg-aib", "vgg-aib-qt", "wrn", "wrn-aib", "wrn-aib-qt")
MEASURED = "vgg-aib-qt"
PRECISIONS = ("fp32", "tf32", "bf16")
FORMATS = ("contiguous", "channels_last")
MODES = ("eager", "compiled")
PLAIN, PER_IMAGE = "plain fp32 eager loop", "plain fp32 eager loop with a per-image loader"
PASSES = 3
"""Forward, backward to the inputs, backward to the weights: each costs about the same multiply-accumulates."""
EPOCHS, TRAIN_IMAGES, EVALUATED_IMAGES = 200, 45_000, 15_000
"""The paper's training on CIFAR-10, with a tenth set aside; validation and test images are seen after every epoch."""


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
        raise ValueError("this machine has no GPU that torch can use; test the script with --device cpu --quick.")
    if chosen.quick:
        chosen.width, chosen.steps, chosen.parity_steps, chosen.rounds = 0.0625, 1, 2, 1
    batch, rounds = 8 if chosen.quick else 128, chosen.rounds
    ceiling = multiply_accumulates_per_s(device, 256 if chosen.quick else 8192, rounds)
    found = {}
    for name in chosen.models:
        found[name] = one_model(name, chosen, device, batch, rounds, ceiling)
        print_progress(name, found[name])
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
    """Images/s of every variant, its share of the ceiling, the time of a whole training, and bf16 against fp32.

    A variant that fails is listed in `failed` and left out. Raises ValueError if no variant is left.
    """
    if "compiled" in chosen.modes:
        # All models of a kind share one `forward`. The compiler keeps eight graphs of it and then stops compiling.
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
            # A variant that fails in the compiler or on the GPU does not stop the others.
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
    print_progress(name, {"images_per_s": best, "failed": failed})
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


def print_progress(name: str, found: Mapping[str, Any]) -> None:
    """Prints a model's results so far on stderr: a visit may end before the figure is complete."""
    print(json.dumps({"model": name, **found}), file=sys.stderr, flush=True)


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
    """Seconds until the device has done the steps."""
    started_s = time.perf_counter()
    steps(count)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started_s


def parity(base: TrialConfig, images_NHWC: Tensor, labels_N: Tensor, count: int) -> dict[str, Any]:
    """Mean loss over the last tenth of a short run, by precision and seed."""
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
