"""Sums over ranks."""

import math

import torch

from tests.support.tiny_trial import Reads
from trainables.runtime.randomness import stream, stream_seed
from trainables.runtime.sums import BatchSums


def test_totals_do_not_depend_on_who_added_which_batch() -> None:
    values = torch.rand(7, generator=stream("sums"), dtype=torch.float64).tolist()
    whole = BatchSums(7, ["x"])
    ranks = [BatchSums(7, ["x"]) for _ in range(3)]
    for batch, value in enumerate(values):
        whole.add(batch, {"x": value})
        ranks[batch % 3].add(batch, {"x": value})
    joined = BatchSums(7, ["x"])
    joined._table = sum(rank._filled() for rank in ranks)
    assert joined.totals() == whole.totals() == {"x": math.fsum(values)}


def test_numbers_of_a_device_are_summed_exactly_and_read_once() -> None:
    """Also sums in float32 and integers, and two sums for one batch."""
    single, counts = torch.rand(5, generator=stream("sums")), torch.arange(5)
    sums = BatchSums(5, ["x", "n", "y"])
    with Reads() as reads:
        for batch in range(5):
            sums.add(batch, {"n": counts[batch], "y": 0.5, "x": single[batch]})
            sums.add(batch, {"n": counts[batch] > 2})
    assert reads.count == 0
    expected = {"x": math.fsum(single.tolist()), "n": 10.0 + 2.0, "y": 2.5}
    assert sums.totals() == expected == sums.totals()


def test_streams_are_keyed_by_purpose_alone() -> None:
    first = torch.rand(3, generator=stream(0, "noise", 1))
    torch.rand(100)
    assert torch.equal(first, torch.rand(3, generator=stream(0, "noise", 1)))
    keys = [(0, "noise", 1), (0, "noise", 2), (1, "noise", 1), (0, "order", 1), (0, "noise1", 1)]
    assert len({stream_seed(*key) for key in keys}) == len(keys)
