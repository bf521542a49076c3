"""A pool that follows its cluster: a real node joins, and dies in mid-trial."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from orchestrator.planning.capacity import Need, num_slots
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.nodes import nodes
from orchestrator.slots.autoscaler import autoscaled
from orchestrator.slots.client import Lease, acquire
from orchestrator.slots.messages import Assignment, EpochResult, Finished
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from tests.support.nodes import second_node
from tests.support.small_science import fit_small, small_trial
from tests.support.tiny_trial import tiny_trial
from trainables.checkpoints.folder_store import FolderStore

pytestmark = [pytest.mark.ray, pytest.mark.slow]
WHOLE_NODE = Need(1, 2, 0, "pack")
ONE_OR_TWO_NODES = Need(1, 2, 0, "pack", 2)


def until(holds: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.2)


def to_its_end(lease: Lease) -> tuple[list[EpochResult], Finished]:
    reports = []
    with lease:
        while isinstance(message := lease.next(), EpochResult):
            reports.append(message)
    return reports, message


def test_a_slot_starts_on_a_node_that_joins_and_its_trial_outlives_the_node(
    cluster: Cluster, tmp_path: Path, new_assignment: Callable[..., Assignment]
) -> None:
    pool = SlotPool([1], SlotSpec(cpus_per_worker=2, storage=tmp_path, fit=fit_small))
    with pool, autoscaled(pool, lambda state: num_slots(nodes(), WHOLE_NODE).shape, look_s=0.5):
        first = acquire(pool.ref, "first", timeout_s=60)
        with second_node(cluster, 2, tmp_path / "node.log") as node, ThreadPoolExecutor(2) as owners:
            second = acquire(pool.ref, "second", timeout_s=60)
            assert pool.size == 2
            first.start(new_assignment(small_trial(epochs=30, epoch_s=0.5), trial="stays"))
            second.start(new_assignment(small_trial(epochs=6, epoch_s=0.5), trial="moves"))
            early = [second.next(), second.next()]
            assert all(isinstance(message, EpochResult) for message in early)
            stays, moves = owners.submit(to_its_end, first), owners.submit(to_its_end, second)
            node.kill()
            until(lambda: all(one["NodeID"] != node.node_id for one in ray.nodes() if one["Alive"]), 60, "node gone")
            until(lambda: pool.size == 1, 30, "the pool keeps the slot of a node that has gone")
            reports, finished = moves.result(timeout=120)
            assert finished == Finished("completed")
            epochs = [message.epoch for message in [*early, *reports] if isinstance(message, EpochResult)]
            assert epochs == [1, 2, 3, 4, 5, 6], "each epoch reaches the owner once"
            reports, finished = stays.result(timeout=10)
            assert (finished, [report.failures for report in reports]) == (Finished("completed"), [()] * 30)


@pytest.mark.minutes
def test_a_retraining_grows_with_the_cluster_and_shrinks_with_it_and_its_global_batch_stays(
    cluster: Cluster, tmp_path: Path, digits_root: Path
) -> None:
    config = tiny_trial(epochs=400, data__train_images=90, evaluation__interp_every_epochs=0).to_dict()
    assignment = Assignment(
        trial="t00000", config=config, checkpoints=FolderStore(tmp_path / "trial"), data_root=digits_root
    )
    pool = SlotPool([1], SlotSpec(cpus_per_worker=2, storage=tmp_path))
    reports: list[EpochResult] = []

    def next_with(workers: int, lease: Lease) -> None:
        """Trains until an epoch ran on `workers` workers."""
        deadline_s = time.monotonic() + 150
        while not reports or reports[-1].metrics["num_workers"] != workers:
            assert time.monotonic() < deadline_s, f"no epoch on {workers} workers"
            message = lease.next()
            assert isinstance(message, EpochResult), message
            reports.append(message)

    follows = autoscaled(pool, lambda state: num_slots(nodes(), ONE_OR_TWO_NODES).shape, look_s=0.5)
    with pool, follows, acquire(pool.ref, "owner", timeout_s=90) as lease:
        lease.start(assignment)
        next_with(1, lease)
        with second_node(cluster, 2, tmp_path / "node.log") as node:
            next_with(2, lease)
            assert not reports[-1].failures, "growing is no failure"
            node.kill()
            next_with(1, lease)
        assert len(reports[-1].failures) == 1
        lease.stop()
    assert [report.epoch for report in reports] == list(range(1, len(reports) + 1)), "each epoch once, none lost"
    seen = {round(report.metrics["images_per_s"] * report.metrics["epoch_s"]) for report in reports}
    assert seen == {90}, "as many images an epoch, however many workers share a batch"
