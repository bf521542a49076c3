"""Input pipeline: images/s of one core from the Arrow store to augmented float batches.

Other: torchvision's transforms on single PIL images in a DataLoader of the same process, as in the released code. Both
shuffle, pad, crop, flip and normalise the same images into batches of 128. Seconds are CPU seconds of one thread, so
other work on the machine does not count.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from benchmarks.support.measure import Figure, interleave, median, run, timed
from benchmarks.support.per_image import PilImages
from benchmarks.support.small_data import cifar10_or_random
from trainables.config.trial import TrialConfig
from trainables.data.augment import augment
from trainables.data.splits import select
from trainables.runtime.randomness import stream

BATCH = 128


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", type=Path, default=Path("runs/data"), help="where CIFAR-10 may be prepared")


def measure(chosen: argparse.Namespace) -> Figure:
    torch.set_num_threads(1)
    num_ours, num_other, rounds = (2_560, 256, 2) if chosen.quick else (50_000, 5_120, 9)
    config = TrialConfig.from_dict({"model": "vgg-aib-qt", "dataset": "cifar10"})
    with tempfile.TemporaryDirectory() as scratch:
        store, _ = cifar10_or_random(chosen.data_root, Path(scratch), max(num_ours, 5_120), 10)
        images = select(store, config.data).train
        resident_NHWC, labels_N = images.tensors(torch.device("cpu"))
        pil_images = PilImages(
            images.split.images_NHWC[images.indices_N], images.split.labels_N[images.indices_N].tolist(), config
        )
        loader = DataLoader(pil_images, BATCH, shuffle=True, drop_last=True)
        walls: dict[str, list[float]] = {"ours": [], "other": []}
        epoch = 0

        def ours() -> float:
            nonlocal epoch
            epoch += 1
            seen = 0

            def batches() -> None:
                nonlocal seen
                while seen < num_ours:
                    order_N = torch.randperm(len(labels_N), generator=stream(0, "order", epoch, seen))
                    for step, rows in enumerate(order_N[: num_ours - seen].split(BATCH)):
                        x_BCHW = augment(resident_NHWC[rows], config.data, stream(0, "augment", epoch, step))
                        seen += len(x_BCHW)
                        assert labels_N[rows].shape[0] == len(x_BCHW)

            took = timed(batches)
            walls["ours"].append(seen / took.wall_s)
            return seen / took.cpu_s

        def other() -> float:
            seen = 0

            def batches() -> None:
                nonlocal seen
                for x_BCHW, labels_B in loader:
                    seen += len(x_BCHW)
                    assert len(labels_B) == len(x_BCHW)
                    if seen >= num_other:
                        return

            took = timed(batches)
            walls["other"].append(seen / took.wall_s)
            return seen / took.cpu_s

        ours(), other()  # imports and caches
        rates = interleave({"ours": ours, "other": other}, rounds)
    best = {name: median(values) for name, values in rates.items()}
    return Figure(
        name="input_pipeline",
        ours=best["ours"],
        other=best["other"],
        ratio=best["ours"] / best["other"],
        unit="images/s on one core",
        what={
            "ours": "Arrow store to augmented float batches of 128",
            "other": "torchvision's PIL transforms in a DataLoader",
            "ratio": "ours / other",
        },
        details={
            "images": store.source,
            "rounds": rounds,
            "images_per_s_by_round": rates,
            "images_per_wall_s": {name: median(values) for name, values in walls.items()},
            "per_image_s": {name: 1 / rate for name, rate in best.items()},
            "batch": BATCH,
        },
    )


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
