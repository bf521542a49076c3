"""DDP scaling: training images/s of two workers with one thread each, against one worker with two threads.

Both have the same global batch and run in slots, as in a search. The rate is the epoch's metric over all ranks.
`--nodes` adds two workers on two nodes: a second raylet on this machine, connected through loopback.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from benchmarks.support.local_ray import cluster, joined_node
from benchmarks.support.measure import Figure, interleave, median, run
from benchmarks.support.small_data import random_store
from orchestrator.slots.client import acquire
from orchestrator.slots.messages import Assignment, EpochResult
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from trainables.checkpoints.folder_store import FolderStore
from trainables.config.trial import TrialConfig


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--width", type=float, default=0.25, help="share of the paper's channels")
    parser.add_argument("--train-images", type=int, default=640, help="images of an epoch")
    parser.add_argument("--nodes", action=argparse.BooleanOptionalAction, help="also on two nodes (not with --quick)")


def measure(chosen: argparse.Namespace) -> Figure:
    rounds = 1 if chosen.quick else 5
    on_nodes = not chosen.quick if chosen.nodes is None else chosen.nodes
    with ExitStack() as stack:
        stack.enter_context(cluster(num_cpus=2))
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        random_store(root, "cifar10", 10_000, 1_000)
        random_store(root, "svhn", 10, 2_000)

        def rate(workers: int, placement: Literal["STRICT_PACK", "STRICT_SPREAD"]) -> Callable[[], float]:
            return lambda: images_per_s(trial(chosen, num_threads=3 - workers), workers, placement, root)

        contestants = {"one worker": rate(1, "STRICT_PACK"), "two workers": rate(2, "STRICT_PACK")}
        if on_nodes:
            stack.enter_context(joined_node(1, root / "node.log"))
            contestants["two nodes"] = rate(2, "STRICT_SPREAD")
        rates = interleave(contestants, rounds)
    best = {name: median(values) for name, values in rates.items()}
    return Figure(
        name="ddp_scaling",
        ours=best["two workers"],
        other=best["one worker"],
        ratio=best["two workers"] / best["one worker"],
        unit="images/s",
        what={
            "ours": "two workers with one thread each",
            "other": "one worker with two threads",
            "ratio": "ours / other",
        },
        details={
            "width": chosen.width,
            "train_images": chosen.train_images,
            "images_per_s": best,
            "images_per_s_by_round": rates,
        },
    )


def trial(chosen: argparse.Namespace, num_threads: int) -> TrialConfig:
    if chosen.quick:
        chosen.width, chosen.train_images = 0.0625, 64
    return TrialConfig.from_dict(
        {
            "model": "vgg-aib-qt",
            "dataset": "cifar10",
            "model.width": chosen.width,
            "epochs": 4,
            "data.train_images": chosen.train_images,
            "data.val_images": 32,
            "data.test_images": 32,
            "optim.batch_size": 64,
            "optim.lr": 0.01,
            "evaluation.interp_images": 8,
            "numerics.num_threads": num_threads,
        }
    )


def images_per_s(
    config: TrialConfig, workers: int, placement: Literal["STRICT_PACK", "STRICT_SPREAD"], root: Path
) -> float:
    """Training images/s of a trial in a new slot: the median over its epochs without the first."""
    folder = Path(tempfile.mkdtemp(dir=root))
    assignment = Assignment(
        trial="t00000",
        config=config.to_dict(),
        checkpoints=FolderStore(folder / "trial"),
        data_root=root,
        max_failures=0,
    )
    found = []
    with (
        SlotPool([workers], SlotSpec(cpus_per_worker=1, storage=folder / "pool", placement=placement)) as pool,
        acquire(pool.ref, "the benchmark") as lease,
    ):
        lease.start(assignment)
        while isinstance(message := lease.next(), EpochResult):
            found.append(message.metrics["images_per_s"])
    if message.state != "completed":
        raise RuntimeError(f"the trial {message.state}: {message.reason}")
    return median(found[1:])


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
