"""Workers preempted in mid-epoch, by a notice or by their pool's end: no step is lost and no bit changes."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._raylet import GcsClient
from ray.core.generated import autoscaler_pb2
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.state import get_actor

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.client import Lease, acquire, statuses
from orchestrator.slots.fit_interface import FitReport
from orchestrator.slots.messages import Assignment, EpochResult, Finished
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker import fit_trial
from tests.support.nodes import second_node
from tests.support.tiny_trial import on_ranks, tiny_trial, without_timings
from trainables.checkpoints.folder_store import FolderStore
from trainables.config.trial import TrialConfig
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CONFIG = tiny_trial(**{"epochs": 1, "data.train_images": 600, "optim.batch_size": 4}).to_dict()
STEPS, STEP_S, DEADLINE_S = 150, 0.1, 120


def fit_slowly(began: Path, config: Mapping[str, Any], runtime: Runtime, resume: Path | None) -> Iterator[FitReport]:
    """The real training at a tenth of a second a step; the file `began` exists from the first step on."""

    def leave() -> bool:
        began.touch()
        time.sleep(STEP_S)
        return runtime.should_pause()

    return fit_trial(config, dataclasses.replace(runtime, should_pause=leave), resume)


def history(runtime: Runtime, config: dict[str, Any]) -> list[dict[str, float]]:
    return [report.metrics for report in fit(TrialConfig.from_dict(config), runtime)]


def announce_preemption(cluster: Cluster, node_id: str) -> None:
    """Drains a node in Ray, as a cloud's preemption notice for a spot machine does."""
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = GcsClient(address=cluster.address).drain_node(
        node_id, reason, "spot machine preempted", int((time.time() + DEADLINE_S) * 1000)
    )
    assert accepted, why


def until(holds: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


@pytest.fixture(scope="module")
def undisturbed(digits_root: Path) -> list[dict[str, float]]:
    return without_timings(on_ranks(1, history, digits_root, CONFIG)[0])


def step_left_at(folder: Path) -> int:
    (left,) = (folder / "checkpoints").glob("epoch_000000_step_*")
    return int(left.name.rsplit("_", 1)[-1])


def to_its_end(lease: Lease) -> tuple[list[EpochResult], Finished]:
    reports = []
    while isinstance(message := lease.next(), EpochResult):
        reports.append(message)
    return reports, message


@pytest.mark.minutes
def test_pool_closed_in_mid_epoch_saves_the_step_and_the_next_goes_on_from_it(
    cluster: Cluster, tmp_path: Path, digits_root: Path, undisturbed: list[dict[str, float]]
) -> None:
    began = tmp_path / "began"
    assignment = Assignment(trial="t0", config=CONFIG, checkpoints=FolderStore(tmp_path / "t0"), data_root=digits_root)
    with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path, fit=partial(fit_slowly, began))) as pool:
        lease = acquire(pool.ref, "the test", timeout_s=250)
        lease.start(assignment)
        until(began.exists)
        pool.close(grace_s=60)
    assert 0 < step_left_at(tmp_path / "t0") < STEPS
    with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path)) as pool, acquire(pool.ref, "again", 250) as lease:
        lease.start(assignment)
        reports, finished = to_its_end(lease)
    assert finished == Finished("completed")
    assert without_timings([report.metrics for report in reports]) == undisturbed


def restarted_on(node_id: str, pool: SlotPool) -> None:
    """Restarts the slot's process until Ray, which chooses by chance, places it on the wanted node."""
    ((slot, _),) = statuses(pool.ref)
    until(lambda: bool(statuses(pool.ref)[0][1]))
    while get_actor(slot._actor_id.hex()).node_id != node_id:
        before = ray.get(slot.pid.remote())
        ray.kill(slot, no_restart=False)
        until(lambda before=before: _pid(slot) not in (None, before))


def _pid(slot: Any) -> int | None:
    try:
        return int(ray.get(slot.pid.remote(), timeout=5))
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return None


@pytest.mark.parametrize("slot_on", [pytest.param("head", marks=pytest.mark.minutes), "preempted"])
def test_worker_on_a_preempted_node_saves_its_step_and_the_trial_goes_on_elsewhere(
    cluster: Cluster, tmp_path: Path, digits_root: Path, undisturbed: list[dict[str, float]], slot_on: str
) -> None:
    began, assignment = tmp_path / "began", Assignment(
        trial="t00000", config=CONFIG, checkpoints=FolderStore(tmp_path / "t00000"), data_root=digits_root,
        max_failures=0,
    )  # fmt: skip
    head = placement_group([{"CPU": 2}])
    assert head.wait(60)
    with second_node(cluster, 2, tmp_path / "node.log") as node:
        pool = SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path, fit=partial(fit_slowly, began)))
        with pool:
            restarted_on(node.node_id if slot_on == "preempted" else ray.get_runtime_context().get_node_id(), pool)
            lease = acquire(pool.ref, "the test", timeout_s=250)
            lease.start(assignment)
            until(began.exists)
            remove_placement_group(head)
            announce_preemption(cluster, node.node_id)
            reports, finished = to_its_end(lease)
            lease.release()
    assert finished == Finished("completed")
    assert [report.failures for report in reports] == [()], "a preemption is not the trial's failure"
    assert 0 < step_left_at(tmp_path / "t00000") < STEPS
    assert without_timings([report.metrics for report in reports]) == undisturbed
