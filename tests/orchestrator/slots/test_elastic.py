"""A pool that follows its cluster: a real node joins, and dies in mid-trial."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from orchestrator.capacity import Need, num_slots
from orchestrator.slots.cluster import Cluster, nodes
from orchestrator.slots.elastic import elastic
from orchestrator.slots.lease import Lease, acquire
from orchestrator.slots.messages import Finished, Job, Report
from orchestrator.slots.pool import SlotPool
from tests.orchestrator.slots.nodes import second_node
from tests.orchestrator.slots.small_science import fit_small, small_trial

pytestmark = [pytest.mark.ray, pytest.mark.slow]
WHOLE_NODE = Need(1, 2, 0, "pack")


def until(holds: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.2)


def to_its_end(lease: Lease) -> tuple[list[Report], Finished]:
    reports = []
    with lease:
        while isinstance(message := lease.next(), Report):
            reports.append(message)
    return reports, message


def test_a_slot_starts_on_a_node_that_joins_and_its_trial_outlives_the_node(
    cluster: Cluster, tmp_path: Path, new_job: Callable[..., Job]
) -> None:
    pool = SlotPool(1, workers=1, cpus_per_worker=2, storage=tmp_path, fit=fit_small)
    with pool, elastic(pool, lambda: num_slots(nodes(), WHOLE_NODE).slots, look_s=0.5):
        first = acquire(pool.ref, "first", timeout_s=60)
        with second_node(cluster, 2, tmp_path / "node.log") as node, ThreadPoolExecutor(2) as owners:
            second = acquire(pool.ref, "second", timeout_s=60)
            assert pool.size == 2
            first.start(new_job(small_trial(epochs=30, epoch_s=0.5), trial="stays"))
            second.start(new_job(small_trial(epochs=6, epoch_s=0.5), trial="moves"))
            early = [second.next(), second.next()]
            assert all(isinstance(message, Report) for message in early)
            stays, moves = owners.submit(to_its_end, first), owners.submit(to_its_end, second)
            node.kill()
            until(lambda: all(one["NodeID"] != node.node_id for one in ray.nodes() if one["Alive"]), 60, "node gone")
            until(lambda: pool.size == 1, 30, "the pool keeps the slot of a node that has gone")
            reports, finished = moves.result(timeout=120)
            assert finished == Finished("completed")
            epochs = [message.epoch for message in [*early, *reports] if isinstance(message, Report)]
            assert epochs == [1, 2, 3, 4, 5, 6], "each epoch reaches the owner once"
            reports, finished = stays.result(timeout=10)
            assert (finished, [report.failures for report in reports]) == (Finished("completed"), [()] * 30)
