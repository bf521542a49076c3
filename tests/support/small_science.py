"""A tiny but real training for the slots: DDP on a linear model, the project's checkpoints, and faults on request."""

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from trainables.checkpoints.checkpoint import read_state, read_tensors, write_checkpoint
from trainables.errors import DataError, DivergedError
from trainables.runtime.progress import advance
from trainables.runtime.randomness import stream
from trainables.runtime.runtime import Runtime


@dataclass(frozen=True)
class SmallReport:
    epoch: int
    metrics: dict[str, float]
    save: Callable[[Path], Path]


def small_trial(epochs: int = 4, **fields: Any) -> dict[str, Any]:
    """A trial's config, with faults on request.

    `kill`, `freeze` (SIGSTOP), `stall` (a step that never ends), `eat` (memory without limit), `limit` (memory up to
    RLIMIT_AS) and `reject` (a bad record) are each (rank, epoch, times). `diverge_at` is an epoch, on all ranks;
    `raise_on` is (rank, epoch). `litter` leaves process-wide settings changed; `epoch_s` sleeps in every epoch.
    """
    return {"epochs": epochs, "seed": 0, "lr": 0.1, "epoch_s": 0.0, **fields}


def fit_small(config: Mapping[str, Any], runtime: Runtime, resume: Path | None) -> Iterator[SmallReport]:
    torch.set_num_threads(1)
    model = torch.nn.Linear(8, 1)
    with torch.no_grad():
        model.weight.copy_(torch.randn(1, 8, generator=stream(config["seed"], "init")))
        model.bias.zero_()
    history: list[dict[str, float]] = []
    if resume is not None:
        model.load_state_dict(read_tensors(resume, "model"))
        history = read_state(resume)["history"]
    ddp = DistributedDataParallel(model) if runtime.world_size > 1 else model
    for epoch in range(len(history) + 1, config["epochs"] + 1):
        x = torch.randn(64, 8, generator=stream(config["seed"], "data", epoch, runtime.rank))
        for step in range(3):
            if step == 1:
                _fault(config, runtime, epoch)
            loss = (ddp(x) - x.sum(1, keepdim=True)).square().mean()
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    assert parameter.grad is not None
                    parameter.sub_(parameter.grad, alpha=config["lr"])
            advance()
        time.sleep(config["epoch_s"])
        mean = loss.detach().double() / runtime.world_size
        if runtime.world_size > 1:
            dist.all_reduce(mean)
        # `draw` shows whether the global generators began in the same state as in a fresh process.
        row = {"epoch": float(epoch), "loss": mean.item(), "draw": torch.rand(1).item() + random.random()}
        row["pid"], row["offset"] = float(os.getpid()), config.get("offset", 0.0) + 1 / epoch
        history.append(row)

        def save(folder: Path) -> Path:
            return write_checkpoint(folder, {"model": dict(model.state_dict())}, {"history": history})

        yield SmallReport(epoch, dict(row), save)
    if config.get("litter"):
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(2)
        torch.set_grad_enabled(False)
        torch.set_autocast_enabled("cpu", True)
        torch.manual_seed(123)
        random.seed(123)
        os.environ["SMALL_SCIENCE_LITTER"] = "1"
        os.chdir("/")


def _fault(config: Mapping[str, Any], runtime: Runtime, epoch: int) -> None:
    if config.get("diverge_at") == epoch:
        raise DivergedError(f"the loss is not finite in epoch {epoch}; lower optim.lr.")
    if config.get("raise_on") == (runtime.rank, epoch):
        raise RuntimeError(f"rank {runtime.rank} alone broke in epoch {epoch}")
    for name, fault in _FAULTS.items():
        if name in config and config[name][:2] == (runtime.rank, epoch):
            marks = Path(config["marks"])
            if len(list(marks.iterdir())) < config[name][2]:
                (marks / f"{os.getpid()}-{time.monotonic_ns()}").touch()
                fault()


def _eat() -> None:
    eaten = []
    while True:
        # Written to, so that the memory is really allocated.
        eaten.append(bytearray(os.urandom(2**20)) * 64)
        time.sleep(0.02)


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**28, resource.RLIM_INFINITY))
    try:
        _eat()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _reject() -> None:
    raise DataError("record 7 of train-00000.parquet is no image; prepare the data set again.")


_FAULTS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "stall": lambda: time.sleep(100_000),
    "eat": _eat,
    "limit": _limited,
    "reject": _reject,
}
