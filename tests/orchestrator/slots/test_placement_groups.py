"""A placement group whose controller died before its workers ran holds resources; the slot frees them."""

from pathlib import Path

import pytest
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.client import acquire
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_slots_start_where_a_leaked_group_holds_their_resources(cluster: Cluster, tmp_path: Path) -> None:
    leaked = placement_group([{"CPU": 2}])
    assert leaked.wait(30)
    with SlotPool([1], SlotSpec(cpus_per_worker=2, storage=tmp_path)) as pool, acquire(pool.ref, "test", 90):
        assert placement_group_table(leaked)["state"] == "REMOVED"


def test_a_group_of_another_shape_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    other = placement_group([{"CPU": 0.5}])
    assert other.wait(30)
    try:
        with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path)) as pool, acquire(pool.ref, "test", 90):
            assert placement_group_table(other)["state"] == "CREATED"
    finally:
        remove_placement_group(other)


def test_a_closed_pool_leaves_no_group_that_waits_for_its_resources(cluster: Cluster, tmp_path: Path) -> None:
    with SlotPool([1], SlotSpec(cpus_per_worker=2, storage=tmp_path)) as pool, acquire(pool.ref, "test", 90):
        waiting = placement_group([{"CPU": 2}])
        other = placement_group([{"CPU": 1.5}])
    try:
        assert placement_group_table(waiting)["state"] == "REMOVED"
        assert other.wait(30), "a group of another shape still gets its resources"
    finally:
        remove_placement_group(other)
