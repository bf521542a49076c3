"""A trial with negligible work: each epoch is three steps of a linear model with DDP, a report and a checkpoint.

It exists in two forms: for the workers of a slot, and as a Ray Train loop.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import Checkpoint
from ray.train.torch import prepare_model
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainables.checkpoints.checkpoint import read_history, read_tensors, write_checkpoint
from trainables.runtime.runtime import Runtime

EPOCHS = 3


@dataclass(frozen=True)
class NegligibleReport:
    """One epoch, in the form of `trainables.training.fit.EpochReport`."""

    epoch: int
    metrics: dict[str, float]
    save: Callable[[Path], Path]


def fit_negligible(
    config: Mapping[str, Any], runtime: Runtime, resume: Path | None, epoch_s: float = 0.0
) -> Iterator[NegligibleReport]:
    """The form for a slot: `epochs` of the config, each with `epoch_s` seconds of sleep; resumes from a checkpoint."""
    model: nn.Module = nn.Linear(8, 1)
    if runtime.world_size > 1:
        model = DistributedDataParallel(model)
    history: list[dict[str, float]] = []
    if resume is not None:
        model.load_state_dict(read_tensors(resume, "model"))
        history = read_history(resume)
    for epoch in range(len(history) + 1, config["epochs"] + 1):
        error_pct = _train(model)
        time.sleep(epoch_s)
        history.append({"epoch": float(epoch), "val_error_pct": error_pct, "val_nll": error_pct})

        def save(folder: Path) -> Path:
            return write_checkpoint(folder, {"model": dict(model.state_dict())}, {"history": history})

        yield NegligibleReport(epoch, dict(history[-1]), save)


def train_negligible(config: Mapping[str, Any]) -> None:
    """The form for Ray's documented pattern: runs on every worker of a trial's own Train run."""
    model = prepare_model(nn.Linear(8, 1))
    for epoch in range(1, config["epochs"] + 1):
        error_pct = _train(model)
        metrics = {"epoch": epoch, "val_error_pct": error_pct}
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if ray.train.get_context().get_world_rank() == 0:
                torch.save(model.state_dict(), Path(folder) / "model.pt")
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report(metrics, checkpoint=checkpoint)


def _train(model: nn.Module) -> float:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.ones(4, 8)
    for _ in range(3):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 50.0
