"""A trial small enough to train in a second, and two real ranks to run things on."""

import multiprocessing
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.config.trial import TrialConfig
from trainables.runtime.runtime import Runtime

TIMINGS = ("images_per_s", "epoch_s", "inference_ms_per_image")


def tiny_trial(**changes: Any) -> TrialConfig:
    fields = {
        "model": "vgg-aib-qt",
        "model.width": 0.0625,
        "bottleneck.latent_dim": 8,
        "bottleneck.beta": 0.001,
        "data.image_size": 16,
        "data.crop_padding": 2,
        "data.train_images": 90,
        "data.val_images": 50,
        "data.test_images": 50,
        "epochs": 3,
        "optim.batch_size": 32,
        "optim.lr": 0.02,
        "evaluation.batch_size": 20,
        "evaluation.attention_samples": 2,
        "evaluation.latent_samples": 3,
        "evaluation.interp_images": 30,
        "evaluation.interp_every_epochs": 1,
        "evaluation.interp_epoch_images": 30,
        "evaluation.occluder_dataset": "cluttered-digits",
    }
    return TrialConfig.from_dict({**fields, **{key.replace("__", "."): value for key, value in changes.items()}})


class Reads(TorchDispatchMode):
    """Counts the numbers that Python asks tensors for while this is entered: each waits for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def without_timings(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in rows]


def on_ranks(world_size: int, function: Callable[..., Any], folder: Path, *args: Any) -> list[Any]:
    """What `function(runtime, *args)` returns on every rank of a gloo group of real processes."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    rendezvous = folder / f"rendezvous-{uuid.uuid4().hex}"
    workers = [
        context.Process(target=_rank, args=(rank, world_size, rendezvous, results, function, folder, args))
        for rank in range(world_size)
    ]
    for worker in workers:
        worker.start()
    found = dict(pickle.loads(results.get(timeout=120)) for _ in workers)
    for worker in workers:
        worker.join(timeout=30)
    return [found[rank] for rank in range(world_size)]


def _rank(
    rank: int, world_size: int, rendezvous: Path, results: Any, function: Any, folder: Path, args: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size)
    try:
        result = function(Runtime(data_root=folder, rank=rank, world_size=world_size), *args)
        # As bytes: tensors would travel by a descriptor that is gone with this process.
        results.put(pickle.dumps((rank, result)))
    finally:
        dist.destroy_process_group()
