"""Sums over a data set whose batches are spread over ranks, equal to the one-rank sum to the last bit.

Each rank fills the rows of its own batches. An all-reduce adds the other ranks' zeros to them, which is exact. Every
rank then adds the rows exactly.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist


class BatchSums:
    """A table with one row per batch and one float64 column per quantity."""

    def __init__(self, num_batches: int, names: Sequence[str]) -> None:
        self._columns = {name: i for i, name in enumerate(names)}
        self._table = torch.zeros(num_batches, len(names), dtype=torch.float64)
        self._left: list[tuple[int, list[int], torch.Tensor]] = []

    def add(self, batch: int, values: Mapping[str, float | torch.Tensor]) -> None:
        """Adds one batch's sums; a tensor must be a single number, without dimensions.

        Numbers on a device stay there until `totals`, because reading one would wait for all queued work of the device.
        """
        tensors = {self._columns[name]: value for name, value in values.items() if isinstance(value, torch.Tensor)}
        for name, value in values.items():
            if not isinstance(value, torch.Tensor):
                self._table[batch, self._columns[name]] += value
        if tensors:
            self._left.append((batch, list(tensors), torch.stack([value.double() for value in tensors.values()])))

    def totals(self, world_size: int = 1) -> dict[str, float]:
        """The sum of every quantity over all batches of all ranks; collective when `world_size` is above 1."""
        table = self._filled()
        if world_size > 1:
            dist.all_reduce(table)
        return {name: math.fsum(table[:, i].tolist()) for name, i in self._columns.items()}

    def _filled(self) -> torch.Tensor:
        """The table, with the numbers from the device filled in."""
        if self._left:
            rows = torch.cat([values for _, _, values in self._left]).cpu().split([len(c) for _, c, _ in self._left])
            for (batch, columns, _), row in zip(self._left, rows, strict=True):
                self._table[batch, columns] += row
            self._left.clear()
        return self._table
