"""The real training in a slot: the workers report the same numbers as the trial without Ray, to the last bit."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.messages import Assignment, Finished
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from tests.support.slot_trials import Run
from tests.support.tiny_trial import on_ranks, tiny_trial, without_timings
from trainables.checkpoints.checkpoint import latest_checkpoint, read_history
from trainables.checkpoints.folder_store import FolderStore
from trainables.config.trial import TrialConfig
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def history(runtime: Runtime, config: dict[str, Any]) -> list[dict[str, float]]:
    return [report.metrics for report in fit(TrialConfig.from_dict(config), runtime)]


def test_trial_in_a_slot_equals_the_same_trial_without_ray(
    cluster: Cluster, tmp_path: Path, digits_root: Path, run: Run
) -> None:
    config = tiny_trial(epochs=2).to_dict()
    plain = on_ranks(2, history, digits_root, config)[0]

    def assignment(trial: str, config: dict[str, Any]) -> Assignment:
        return Assignment(trial=trial, config=config, checkpoints=FolderStore(tmp_path / trial), data_root=digits_root)

    with SlotPool([2], SlotSpec(cpus_per_worker=1, storage=tmp_path)) as pool:
        for trial in ("cold", "warm"):
            ran = run(pool.ref, assignment(trial, config))
            assert ran.finished == Finished("completed")
            assert without_timings([report.metrics for report in ran.reports]) == without_timings(plain)
            newest = latest_checkpoint(tmp_path / trial)
            assert newest is not None
            assert len(read_history(newest)) == 2
        failed = run(pool.ref, assignment("wrong", {**config, "model.name": "no-such-model"})).finished
        assert (failed.state, failed.kind) == ("failed", "ConfigError")
        assert "no-such-model" in failed.reason
