"""A trial paused in the middle of an epoch continues from that step, to the last bit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny_trial import on_ranks, tiny_trial, without_timings
from trainables.checkpoints.checkpoint import latest_checkpoint, read_tensors
from trainables.checkpoints.folder_store import FolderStore
from trainables.config.trial import TrialConfig
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit
from trainables.training.pause import PartialEpoch, Paused


class Caller:
    """Pauses a trial after this many steps in this process; None: never."""

    def __init__(self, after: int | None) -> None:
        self._left = after

    def __call__(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left == 0


def run(runtime: Runtime, config: dict[str, Any], root: Path, folder: Path, stints: list[int | None]) -> dict[str, Any]:
    """Runs the trial in several parts, each with its own state; returns its reports and where it was paused."""
    rows, left, store = [], [], FolderStore(folder)
    for after in stints:
        called = Runtime(
            data_root=root, rank=runtime.rank, world_size=runtime.world_size, should_pause=Caller(after)
        )  # fmt: skip
        newest = latest_checkpoint(folder)
        try:
            for report in fit(TrialConfig.from_dict(config), called, newest):
                rows.append(report.metrics)
                if runtime.rank == 0:
                    store.save(report.epoch, report.save)
                _meet(runtime)
        except Paused as pause:
            left.append((pause.epoch, pause.step))
            if runtime.rank == 0:
                store.save(pause.epoch, pause.save, pause.step)
            _meet(runtime)
    newest = latest_checkpoint(folder)
    assert newest is not None
    weights = {name: read_tensors(newest, name) for name in ("model", "optimizer", "best")}
    return {"rows": without_timings(rows), "left": left, "weights": weights, "last": rows[-1]}


def _meet(runtime: Runtime) -> None:
    if runtime.world_size > 1:
        torch.distributed.barrier()


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    if first["rows"] != second["rows"]:
        return False
    return all(
        first["weights"][name].keys() == second["weights"][name].keys()
        and all(torch.equal(value, second["weights"][name][key]) for key, value in first["weights"][name].items())
        for name in first["weights"]
    )


# 90 images in batches of 32: three steps an epoch.
STINTS: list[int | None] = [2, 3, 1, None]
LEFT = [(0, 2), (1, 2), (1, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"optim__ema_decay": 0.9}], ids=["plain", "average"])
def test_trial_left_at_several_steps_ends_as_the_undisturbed_one(
    tmp_path: Path, digits_root: Path, changes: dict[str, Any]
) -> None:
    config = tiny_trial(**changes).to_dict()
    runtime = Runtime(data_root=digits_root)
    whole = run(runtime, config, digits_root, tmp_path / "whole", [None])
    parted = run(runtime, config, digits_root, tmp_path / "parted", STINTS)
    assert parted["left"] == LEFT, "before the first epoch's end, in mid-epoch, and between training and evaluation"
    assert len(whole["rows"]) == 3
    assert same(whole, parted)
    assert parted["last"]["epoch_s"] > 0


@pytest.mark.slow
def test_two_ranks_left_at_several_steps_end_as_the_undisturbed_ones(tmp_path: Path, digits_root: Path) -> None:
    config = tiny_trial().to_dict()
    whole = on_ranks(2, run, tmp_path, config, digits_root, tmp_path / "whole", [None])
    parted = on_ranks(2, run, tmp_path, config, digits_root, tmp_path / "parted", STINTS)
    assert parted[0]["left"] == parted[1]["left"] == LEFT
    assert same(whole[0], parted[0])
    assert whole[1]["rows"] == parted[1]["rows"]


def test_ranks_that_are_fewer_than_before_lose_nothing_of_the_epochs_sums() -> None:
    part = PartialEpoch(
        5, ("nll", "total"), torch.tensor([[1.0, 2.0, 30.0], [3.0, 4.0, 31.0]], dtype=torch.float64), 7.0
    )
    assert PartialEpoch.from_state(part.state(), part.sums_RT).names == ("nll", "total")
    sums_T, images = part.of_rank(1, 2)
    assert (sums_T.tolist(), images) == ([3.0, 4.0], 31)
    sums_T, images = part.of_rank(0, 1)
    assert (sums_T.tolist(), images) == ([4.0, 6.0], 61)
    assert part.of_rank(2, 3)[1] == 0
