"""A pool from start to close: fresh workers on demand, no traces between trials, resizing, refusing, closing."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from ray.util.state import list_actors, list_placement_groups

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.autoscaler import autoscaled
from orchestrator.slots.client import acquire
from orchestrator.slots.messages import Assignment, EpochResult, Finished, PoolState, SlotError
from orchestrator.slots.pool import CLOSE_S, SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker_groups import FAILED_RUNS
from tests.support.slot_trials import Run
from tests.support.small_science import fit_small, small_trial

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NewAssignment = Callable[..., Assignment]
# Ray Train starts one for the whole cluster and keeps it.
RAYS_OWN = {"_AutoscalingCoordinatorActor"}


@pytest.fixture(scope="module")
def pool(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlotPool]:
    with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path_factory.mktemp("pool"), fit=fit_small)) as slots:
        yield slots


def left_behind(timeout_s: float = 10) -> list[str]:
    """Actors and placement groups that are still there after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        actors = [actor.class_name for actor in list_actors() if actor.state != "DEAD"]
        groups = [group.placement_group_id for group in list_placement_groups() if group.state != "REMOVED"]
        left = [*(name for name in actors if name not in RAYS_OWN), *groups]
        if not left or time.monotonic() > deadline_s:
            return left
        time.sleep(0.3)


def test_second_trial_in_a_warm_slot_equals_the_same_trial_in_a_fresh_one(
    cluster: Cluster, tmp_path: Path, new_assignment: NewAssignment, run: Run
) -> None:
    with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path, trials_per_slot=2, fit=fit_small)) as pool:
        littering = run(pool.ref, new_assignment(small_trial(litter=True, seed=7), trial="littering"))
        warm = run(pool.ref, new_assignment(small_trial(), trial="warm"))
        fresh = run(pool.ref, new_assignment(small_trial(), trial="fresh"))
        assert littering.pids[0] == warm.pids[0]
        assert fresh.pids[0] != warm.pids[0], "after trials_per_slot trials the workers are new"
        assert warm.column("loss") == fresh.column("loss")
        assert warm.column("draw") == fresh.column("draw")
    assert left_behind() == []


@pytest.mark.minutes
def test_pool_grows_and_shrinks_without_cutting_a_trial_short(
    pool: SlotPool, new_assignment: NewAssignment, run: Run
) -> None:
    leases = [acquire(pool.ref, "first", timeout_s=60)]
    pool.resize([1, 1])
    leases.append(acquire(pool.ref, "second", timeout_s=60))
    for i, lease in enumerate(leases):
        lease.start(new_assignment(small_trial(epochs=3, epoch_s=0.3), trial=f"t{i}"))
    pool.resize([1])
    for lease in leases:
        epochs = []
        while isinstance(message := lease.next(), EpochResult):
            epochs.append(message.epoch)
        assert (epochs, message) == ([1, 2, 3], Finished("completed"))
        lease.release()
    assert run(pool.ref, new_assignment(small_trial(), trial="later")).finished == Finished("completed")
    deadline_s = time.monotonic() + 10
    while len(pool.status()) > 1 and time.monotonic() < deadline_s:
        pool.resize([1])
        time.sleep(0.2)
    assert len(pool.status()) == 1


def test_pool_closed_in_mid_epoch_leaves_nothing(pool: SlotPool, new_assignment: NewAssignment) -> None:
    lease = acquire(pool.ref, "owner", timeout_s=60)
    lease.start(new_assignment(small_trial(epochs=5, epoch_s=600), trial="endless"))
    time.sleep(1)
    began_s = time.monotonic()
    pool.close(grace_s=1)
    assert time.monotonic() - began_s < 5
    assert left_behind() == []
    with pytest.raises(SlotError, match="closed"):
        lease.next()


def test_slots_wait_while_others_have_the_resources_and_serve_once_they_are_free(
    cluster: Cluster, tmp_path: Path, new_assignment: Callable[..., Assignment]
) -> None:
    others = ray.util.placement_group([{"CPU": ray.cluster_resources()["CPU"]}])
    ray.get(others.ready())
    seen: list[PoolState] = []
    pool = SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path, fit=fit_small, start_timeout_s=1))
    with pool, autoscaled(pool, lambda state: [1], seen.append, look_s=0.2):
        began_s = time.monotonic()
        while not (seen and seen[-1].waiting):
            assert time.monotonic() - began_s < 30
            time.sleep(0.1)
        assert "1 worker of 1 CPU waits for room; free in the cluster: 0 of" in pool.waits_for()
        # As many lost runs as would break a slot whose workers fail for another reason.
        losses = 0
        while losses <= FAILED_RUNS:
            (status,) = pool.status()
            losses += status is not None and bool(status.no_room)
            time.sleep(2)
        with pytest.raises(SlotError, match=r"within 1 s \(slots: starting\)"):
            acquire(pool.ref, "owner", timeout_s=1)
        with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path / "two", fit=fit_small)) as idle:
            time.sleep(3)
            began_s = time.monotonic()
            idle.close()
            assert time.monotonic() - began_s < CLOSE_S / 2, "there is no running trial to wait for"
        ray.util.remove_placement_group(others)
        with acquire(pool.ref, "owner", timeout_s=60) as lease:
            lease.start(new_assignment(small_trial(epochs=1)))
            assert isinstance(lease.next(), EpochResult)
            assert lease.next() == Finished("completed")
        # On a busy machine the trial may end before the autoscaler looks again.
        deadline_s = time.monotonic() + 30
        while not seen[-1].serving and time.monotonic() < deadline_s:
            time.sleep(0.1)
    changes = [state for state, _ in itertools.groupby((state.waiting, state.serving) for state in seen)]
    # Between them its workers start. It waits without a break, although Train starts run after run meanwhile.
    assert [state for state in changes if state != (0, 0)] == [(1, 0), (0, 1)]
    assert left_behind() == []
