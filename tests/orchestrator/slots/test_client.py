"""The search for a slot while slots come and go."""

import itertools
from typing import Any

import pytest
import ray

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.client import statuses
from orchestrator.slots.messages import PoolRef
from orchestrator.slots.slot_state import SlotState

pytestmark = pytest.mark.ray


def test_a_slot_that_is_killed_while_it_is_looked_for_is_gone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = PoolRef("killed-between:", ray.get_runtime_context().namespace)
    stays, goes = (
        ray.remote(SlotState).options(name=f"{pool.prefix}{name}", num_cpus=0).remote() for name in ("stays", "goes")
    )
    assert [status is not None for _, status in statuses(pool, timeout_s=30)] == [True, True]
    listed, looks = ray.util.list_named_actors, itertools.count()

    def then_killed(all_namespaces: bool) -> Any:
        found = listed(all_namespaces=all_namespaces)
        if next(looks) == 0:
            ray.kill(goes)
        return found

    monkeypatch.setattr(ray.util, "list_named_actors", then_killed)
    found = statuses(pool, timeout_s=30)
    assert [slot for slot, status in found if status is not None] == [stays]
    assert len(found) == 1
    ray.kill(stays)
