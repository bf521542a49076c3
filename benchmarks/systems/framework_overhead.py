"""Framework overhead: an epoch of `fit` in a Ray Train worker against a bare loop of the same maths.

Ours is the work of a search: the slot's worker trains, evaluates, saves a checkpoint, reports, and waits for the
answer. Its time is from one report to the next, as the trial's owner sees them. Other: training and evaluation alone,
in the benchmark's own process. Both give the same losses and errors to the last bit. Three things are left out: a
trial's first epoch, which contains the trial's start; the first round, in which each process allocates its memory; and
a trial's last epoch, which would contain its final score.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.support.bare_loop import error_pct, train_epoch
from benchmarks.support.local_ray import cluster
from benchmarks.support.measure import Figure, interleave, median, run
from benchmarks.support.small_data import random_store
from orchestrator.slots.client import acquire
from orchestrator.slots.messages import Assignment, EpochResult, PoolRef
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from trainables.checkpoints.folder_store import FolderStore
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import Store
from trainables.data.splits import select
from trainables.models.build import build_model
from trainables.runtime import numerics
from trainables.training.optim import build_optimizer, learning_rate, set_learning_rate

EPOCHS = 4
"""Measured epochs of each trial."""
Row = tuple[float, float, float]
"""Training loss, validation and test error of one epoch."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--width", type=float, default=0.25, help="share of the paper's channels")
    parser.add_argument("--train-images", type=int, default=640, help="images of an epoch")


def measure(chosen: argparse.Namespace) -> Figure:
    warming, rounds = (0, 1) if chosen.quick else (1, 8)
    config = trial(chosen)
    rows: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder, cluster(num_cpus=1):
        root = Path(folder)
        store = random_store(root, "cifar10", 10_000, 1_000)
        random_store(root, "svhn", 10, 2_000)
        with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=root / "pool")) as pool:

            def ours() -> float:
                seconds_E, rows["ours"] = in_worker(pool.ref, config, root)
                return median(seconds_E[1:])

            def other() -> float:
                seconds_E, rows["other"] = bare(config, store)
                return median(seconds_E[1:])

            seconds = interleave({"ours": ours, "other": other}, warming + rounds)
    if rows["ours"] != rows["other"]:
        raise AssertionError(f"the two loops differ: {rows}")
    best = {name: median(values[warming:]) for name, values in seconds.items()}
    return Figure(
        name="framework_overhead",
        ours=best["ours"],
        other=best["other"],
        ratio=best["ours"] / best["other"],
        unit="s per epoch",
        what={
            "ours": "fit in a Ray Train worker, with reports and checkpoints",
            "other": "a bare loop of the same training and evaluation",
            "ratio": "ours / other",
        },
        details={
            "model": config.model.name,
            "width": config.model.width,
            "train_images": config.data.train_images,
            "batch": config.optim.batch_size,
            "epochs_measured": (EPOCHS - 1) * rounds,
            "epoch_s_by_round": seconds,
            "rounds_left_out": warming,
            "equal_to_the_last_bit": True,
        },
    )


def trial(chosen: argparse.Namespace) -> TrialConfig:
    images, width = (64, 0.0625) if chosen.quick else (chosen.train_images, chosen.width)
    return TrialConfig.from_dict(
        {
            "model": "vgg-aib-qt",
            "dataset": "cifar10",
            "model.width": width,
            "epochs": EPOCHS + 1,
            "data.train_images": images,
            "data.val_images": max(32, images // 5),
            "data.test_images": max(32, images // 5),
            "optim.batch_size": 64,
            "optim.lr": 0.01,
            "evaluation.interp_images": 16,
        }
    )


def in_worker(pool: PoolRef, config: TrialConfig, root: Path) -> tuple[list[float], list[Row]]:
    """Seconds up to each epoch's report, and the report's row."""
    checkpoints = FolderStore(Path(tempfile.mkdtemp(dir=root)))
    seconds_E, rows_E = [], []
    with acquire(pool, "the benchmark") as lease:
        started_s = time.perf_counter()
        assignment = Assignment(
            trial="t00000", config=config.to_dict(), checkpoints=checkpoints, data_root=root, max_failures=0
        )
        lease.start(assignment)
        for _ in range(EPOCHS):
            message = lease.next()
            if not isinstance(message, EpochResult):
                raise RuntimeError(f"the trial {message.state}: {message.reason}")
            now_s = time.perf_counter()
            seconds_E.append(now_s - started_s)
            started_s = now_s
            metrics = message.metrics
            rows_E.append((metrics["train_loss"], metrics["val_error_pct"], metrics["test_error_pct"]))
    return seconds_E, rows_E


def bare(config: TrialConfig, store: Store) -> tuple[list[float], list[Row]]:
    """The same in this process, without reports."""
    device = torch.device("cpu")
    numerics.apply(config, device)
    subsets = select(store, config.data)
    train, val, test = (subset.tensors(device) for subset in subsets)
    model = build_model(config, store.num_classes)
    optimizer = build_optimizer(model, config.optim)
    seconds_E, rows_E = [], []
    for epoch in range(1, EPOCHS + 1):
        started_s = time.perf_counter()
        set_learning_rate(optimizer, learning_rate(config.optim, epoch))
        loss = train_epoch(model, optimizer, *train, config, epoch)
        row = (loss, error_pct(model, *val, "val", config), error_pct(model, *test, "test", config))
        seconds_E.append(time.perf_counter() - started_s)
        rows_E.append(row)
    return seconds_E, rows_E


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
