"""Pausing a trial in the middle of an epoch, so that it later continues bit for bit."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


class Paused(Exception):  # noqa: N818  # control flow, not an error
    """Raised by `fit` on all ranks together once `Runtime.should_pause` returns True; no work is lost.

    `save` writes the whole state after `step` steps of the epoch after `epoch`; only rank 0 calls it.
    """

    def __init__(self, epoch: int, step: int, save: Callable[[Path], Path]) -> None:
        super().__init__(f"left after step {step} of epoch {epoch + 1}")
        self.epoch, self.step, self.save = epoch, step, save


@dataclass(frozen=True)
class PartialEpoch:
    """The running sums of an unfinished epoch: all that a step passes to the next besides the weights."""

    step: int
    """Number of steps done."""
    names: tuple[str, ...]
    """Names of the loss terms."""
    sums_RT: torch.Tensor
    """Each rank's sums of the loss terms over its images, and as the last column the number of images; float64."""
    seconds: float

    def of_rank(self, rank: int, world_size: int) -> tuple[torch.Tensor, int]:
        """A rank's own sums (T) and number of images. If the number of ranks has changed, rank 0 gets the total."""
        if len(self.sums_RT) == world_size:
            row_T = self.sums_RT[rank]
        else:
            row_T = self.sums_RT.sum(0) if rank == 0 else torch.zeros_like(self.sums_RT[0])
        return row_T[:-1].clone(), int(row_T[-1])

    @staticmethod
    def gather(
        step: int, names: tuple[str, ...], sums_T: torch.Tensor, images: int, seconds: float, world_size: int
    ) -> "PartialEpoch":
        """Collects the sums of all ranks; collective, and complete on every rank."""
        row_T = torch.cat([sums_T, sums_T.new_tensor([images])])
        rows = [row_T]
        if world_size > 1:
            rows = [torch.empty_like(row_T) for _ in range(world_size)]
            dist.all_gather(rows, row_T)
        return PartialEpoch(step, names, torch.stack(rows).cpu(), seconds)

    def state(self) -> dict[str, Any]:
        """The JSON part; `sums_RT` is stored beside it."""
        return {"step": self.step, "names": list(self.names), "seconds": self.seconds}

    @staticmethod
    def from_state(state: dict[str, Any], sums_RT: torch.Tensor) -> "PartialEpoch":
        return PartialEpoch(state["step"], tuple(state["names"]), sums_RT, state["seconds"])
