"""Sums over a data set whose batches are spread over ranks, equal to the one-rank sum to the last bit.

Each rank fills the rows of its own batches; an all-reduce adds zeros to them, which is exact, and every rank then
adds the rows in batch order.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist


class BatchSums:
    """A table of one row per batch and one float64 column per quantity."""

    def __init__(self, num_batches: int, names: Sequence[str]) -> None:
        self._columns = {name: i for i, name in enumerate(names)}
        self._table = torch.zeros(num_batches, len(names), dtype=torch.float64)

    def add(self, batch: int, values: Mapping[str, float | torch.Tensor]) -> None:
        """Adds one batch's sums; a tensor must hold one number."""
        for name, value in values.items():
            self._table[batch, self._columns[name]] += float(value)

    def totals(self, world_size: int = 1) -> dict[str, float]:
        """Every quantity's sum over all batches of all ranks; collective when `world_size` is above 1."""
        if world_size > 1:
            dist.all_reduce(self._table)
        return {name: math.fsum(self._table[:, i].tolist()) for name, i in self._columns.items()}
