"""Divides the images of one pass into batches, and the batches over the ranks."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """Batch b goes whole to rank b % world_size, so that any number of ranks computes the same batches."""

    num_images: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    @property
    def num_batches(self) -> int:
        """Of all ranks together."""
        return -(-self.num_images // self.batch_size)

    def batches(self) -> Iterator[tuple[int, slice]]:
        """The rank's own batches: (number, slice of image positions)."""
        for number in range(self.rank, self.num_batches, self.world_size):
            start = number * self.batch_size
            yield number, slice(start, min(start + self.batch_size, self.num_images))
