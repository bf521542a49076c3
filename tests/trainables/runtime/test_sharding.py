"""Every image is in one batch of one rank, whatever the number of ranks."""

import pytest

from trainables.runtime.sharding import Sharding


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_ranks_share_the_same_batches_between_them(world_size: int) -> None:
    shares = [
        list(Sharding(num_images=23, batch_size=5, rank=rank, world_size=world_size).batches())
        for rank in range(world_size)
    ]
    joined = sorted((number, rows) for share in shares for number, rows in share)
    assert joined == [(n, slice(5 * n, min(5 * n + 5, 23))) for n in range(5)]
    assert all(number % world_size == rank for rank, share in enumerate(shares) for number, _ in share)
