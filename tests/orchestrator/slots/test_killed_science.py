"""The real training under SIGKILL, at a step and in mid-write of a checkpoint: the weights stay the same."""

import dataclasses
import os
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.fit_interface import FitReport
from orchestrator.slots.messages import Assignment, Finished
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker import fit_trial
from tests.support.slot_trials import Run
from tests.support.tiny_trial import on_ranks, tiny_trial, without_timings
from trainables.checkpoints import checkpoint
from trainables.checkpoints.checkpoint import latest_checkpoint, read_tensors
from trainables.checkpoints.folder_store import FolderStore
from trainables.config.trial import TrialConfig
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CONFIG = tiny_trial(epochs=2).to_dict()
TENSORS = ("model", "optimizer", "best")


def fit_killed(marks: Path, config: Mapping[str, Any], runtime: Runtime, resume: Path | None) -> Iterator[FitReport]:
    """The last rank is killed once at the second epoch's second step, and rank 0 once while it writes that epoch."""
    steps_left = 5  # three an epoch
    last = runtime.rank == runtime.world_size - 1

    def leave() -> bool:
        nonlocal steps_left
        steps_left -= 1
        if steps_left == 0 and last:
            _die_once(marks / "at-a-step")
        return runtime.should_pause()

    for report in fit_trial(config, dataclasses.replace(runtime, should_pause=leave), resume):
        if report.epoch == 2 and not (marks / "in-the-write").exists():
            # By then the tensors are written and the manifest is not.
            checkpoint.write_manifest = lambda folder: _die_once(marks / "in-the-write")
        yield report


def _die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def undisturbed(runtime: Runtime, config: dict[str, Any], folder: Path) -> list[dict[str, float]]:
    reports = list(fit(TrialConfig.from_dict(config), runtime))
    if runtime.rank == 0:
        FolderStore(folder).save(reports[-1].epoch, reports[-1].save)
    return [report.metrics for report in reports]


@pytest.mark.minutes
@pytest.mark.parametrize("workers", [1, 2])
def test_trial_killed_at_a_step_and_in_a_write_ends_with_the_undisturbed_weights(
    cluster: Cluster, tmp_path: Path, digits_root: Path, run: Run, workers: int
) -> None:
    plain = on_ranks(workers, undisturbed, digits_root, CONFIG, tmp_path / "plain")[0]
    marks, store = tmp_path / "marks", FolderStore(tmp_path / "killed")
    marks.mkdir()
    assignment = Assignment(trial="killed", config=CONFIG, checkpoints=store, data_root=digits_root, max_failures=2)
    fit_so = partial(fit_killed, marks)
    with SlotPool([workers], SlotSpec(cpus_per_worker=1, storage=tmp_path, fit=fit_so)) as pool:
        ran = run(pool.ref, assignment)
    assert sorted(mark.name for mark in marks.iterdir()) == ["at-a-step", "in-the-write"]
    assert ran.finished == Finished("completed")
    assert ran.epochs == [1, 2]
    assert [failure.cause for failure in ran.reports[-1].failures] == ["crash", "crash"]
    assert without_timings([report.metrics for report in ran.reports]) == without_timings(plain)
    expected, found = latest_checkpoint(tmp_path / "plain"), latest_checkpoint(tmp_path / "killed")
    assert expected is not None
    assert found is not None
    for name in TENSORS:
        wanted, got = read_tensors(expected, name), read_tensors(found, name)
        assert wanted.keys() == got.keys()
        assert all(torch.equal(wanted[key], got[key]) for key in wanted), name
