"""Two slots of one worker each on a real Ray cluster: order, faults, owners and leftovers."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.util.state import list_actors

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.client import acquire, statuses
from orchestrator.slots.messages import Assignment, EpochResult, Finished, PoolRef, SlotError
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from tests.support.slot_trials import Run
from tests.support.small_science import fit_small, small_trial
from trainables.checkpoints.checkpoint import latest_checkpoint

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NewAssignment = Callable[..., Assignment]


@pytest.fixture(scope="module")
def pool(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolRef]:
    storage = tmp_path_factory.mktemp("two-slots")
    with SlotPool([1, 1], SlotSpec(cpus_per_worker=1, storage=storage, fit=fit_small, owner_timeout_s=5)) as slots:
        yield slots.ref


def wait_until(holds: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "did not come true in time"
        time.sleep(0.1)


def living(class_name: str) -> list[Any]:
    return list(list_actors(filters=[("class_name", "=", class_name), ("state", "=", "ALIVE")], detail=True))


def states(pool: PoolRef) -> list[str]:
    return [status.state if status else "unreachable" for _, status in statuses(pool)]


def test_more_trials_than_slots_all_end_with_every_epoch_once(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    # On a busy machine one slot could finish all trials before the other has started.
    wait_until(lambda: states(pool) == ["idle", "idle"], timeout_s=90)
    assignments = [new_assignment(small_trial(epochs=3, seed=i), trial=f"t{i:05d}") for i in range(12)]
    with ThreadPoolExecutor(max_workers=6) as owners:
        ran = list(owners.map(lambda assignment: run(pool, assignment), assignments))
    assert [one.epochs for one in ran] == [[1, 2, 3]] * 12
    assert {one.finished.state for one in ran} == {"completed"}
    assert len({pid for one in ran for pid in one.pids}) == 2, "both slots served, with their first workers"


@pytest.mark.minutes
def test_worker_that_is_stopped_for_twenty_seconds_goes_on_and_costs_no_failure(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    stopped = []

    def stop(report: EpochResult) -> None:
        if not stopped:
            stopped.append(int(report.metrics["pid"]))
            os.kill(stopped[0], signal.SIGSTOP)
            threading.Timer(20, os.kill, (stopped[0], signal.SIGCONT)).start()

    began_s = time.monotonic()
    ran = run(pool, new_assignment(small_trial(epoch_s=0.1), trial="stopped", max_failures=0), stop)
    assert time.monotonic() - began_s > 20
    assert (ran.epochs, ran.finished) == ([1, 2, 3, 4], Finished("completed"))
    assert set(ran.pids) == set(stopped)
    assert not ran.reports[-1].failures


def test_waiting_for_a_taken_slot_ends_in_time(pool: PoolRef) -> None:
    with (
        acquire(pool, "first", timeout_s=60),
        acquire(pool, "second", timeout_s=60),
        pytest.raises(SlotError, match="leased, leased"),
    ):
        acquire(pool, "third", timeout_s=0.5)


def test_an_owners_former_slot_is_tried_first_and_a_taken_one_is_passed_over(pool: PoolRef) -> None:
    with acquire(pool, "first", timeout_s=60) as lease:
        pass
    with acquire(pool, "again", timeout_s=60, prefer=lease), acquire(pool, "another", timeout_s=60, prefer=lease):
        assert states(pool) == ["leased", "leased"]


def test_stop_ends_the_trial_after_the_epoch_in_progress(pool: PoolRef, new_assignment: NewAssignment) -> None:
    with acquire(pool, "owner", timeout_s=60) as lease:
        lease.start(new_assignment(small_trial(epochs=1000, epoch_s=0.05)))
        first = lease.next()
        lease.stop()
        later = []
        while isinstance(message := lease.next(), EpochResult):
            later.append(message.epoch)
    assert isinstance(first, EpochResult)
    assert message == Finished("stopped")
    assert len(later) < 10


def test_early_stop_decided_on_a_report_costs_no_further_epoch(
    pool: PoolRef, new_assignment: NewAssignment, tmp_path: Path
) -> None:
    assignment = new_assignment(small_trial(epochs=1000, epoch_s=0.6))
    lease = acquire(pool, "owner", timeout_s=60)
    lease.start(assignment)
    assert isinstance(lease.next(), EpochResult)
    began_s = time.monotonic()
    lease.release()
    assert time.monotonic() - began_s < 0.5, "the release does not wait for the workers"
    wait_until(lambda: states(pool) == ["idle", "idle"], 5)
    newest = latest_checkpoint(tmp_path / assignment.trial)
    assert newest is not None
    assert newest.name == "epoch_000001"


def test_killed_worker_costs_no_epoch_and_changes_no_number(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    undisturbed = run(pool, new_assignment(small_trial(epochs=4), trial="whole"))
    disturbed = run(pool, new_assignment(small_trial(epochs=4, kill=(0, 3, 1)), trial="killed"))
    assert disturbed.epochs == [1, 2, 3, 4]
    assert disturbed.finished == Finished("completed")
    assert disturbed.column("loss") == undisturbed.column("loss")
    assert [[one.cause for one in report.failures] for report in disturbed.reports] == [[], [], ["crash"], ["crash"]]
    assert disturbed.pids[1] != disturbed.pids[2]


def test_trial_that_kills_its_workers_fails_and_the_slot_goes_on(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    ran = run(pool, new_assignment(small_trial(epochs=4, kill=(0, 2, 99)), trial="deadly", max_failures=1))
    assert ran.epochs == [1]
    assert (ran.finished.state, ran.finished.kind) == ("failed", "WorkersLost")
    assert "2 times (2 × crash), last after epoch 1" in ran.finished.reason
    assert "rank 0" in ran.finished.reason
    assert run(pool, new_assignment(small_trial(), trial="next")).finished == Finished("completed")


def test_error_of_the_science_fails_the_trial_and_keeps_the_workers(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    before = {run(pool, new_assignment(small_trial(), trial=f"before{i}")).pids[0] for i in range(4)}
    ran = run(pool, new_assignment(small_trial(diverge_at=2), trial="diverging"))
    assert ran.epochs == [1]
    assert (ran.finished.state, ran.finished.kind) == ("failed", "DivergedError")
    assert "lower optim.lr" in ran.finished.reason
    assert set(run(pool, new_assignment(small_trial(), trial="after")).pids) <= before | set(ran.pids)


def test_trial_out_of_memory_is_tried_once_more_and_then_named(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    once = run(pool, new_assignment(small_trial(limit=(0, 2, 1)), trial="once", max_failures=9))
    assert (once.epochs, once.finished) == ([1, 2, 3, 4], Finished("completed"))
    assert [failure.cause for failure in once.reports[-1].failures] == ["out_of_memory"]
    ran = run(pool, new_assignment(small_trial(limit=(0, 2, 99)), trial="greedy", max_failures=9))
    assert (ran.epochs, ran.finished.state, ran.finished.kind) == ([1], "failed", "OutOfMemory")
    assert "optim.batch_size" in ran.finished.reason


def test_trial_goes_on_from_its_checkpoint_in_another_lease(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    whole = run(pool, new_assignment(small_trial(epochs=5), trial="whole"))
    assignment = new_assignment(small_trial(epochs=5, epoch_s=0.3), trial="parted")
    with acquire(pool, "first", timeout_s=60) as lease:
        lease.start(assignment)
        assert [lease.next().epoch, lease.next().epoch] == [1, 2]  # type: ignore[union-attr]
    rest = run(pool, new_assignment(small_trial(epochs=5, epoch_s=0.3), trial="parted", epochs_known=1))
    assert rest.epochs == [2, 3, 4, 5], "the history holds the epochs that this owner lacks"
    assert rest.column("loss") == whole.column("loss")[1:]


def test_altered_checkpoint_is_passed_over_for_the_one_before(
    pool: PoolRef, new_assignment: NewAssignment, run: Run, tmp_path: Path
) -> None:
    whole = run(pool, new_assignment(small_trial(epochs=3), trial="altered"))
    newest = latest_checkpoint(tmp_path / "altered")
    assert newest is not None
    with (newest / "state.json").open("a") as file:
        file.write(" ")
    again = run(pool, new_assignment(small_trial(epochs=3), trial="altered"))
    assert again.epochs == [1, 2, 3]
    assert again.column("loss") == whole.column("loss")


def test_dead_owner_frees_the_slot(pool: PoolRef, new_assignment: NewAssignment) -> None:
    @ray.remote(num_cpus=0)
    class Owner:
        def start(self, pool: PoolRef, assignment: Assignment) -> Any:
            self.lease = acquire(pool, "doomed", timeout_s=60)
            self.lease.start(assignment)
            return self.lease.next()

    owner = Owner.remote()
    assignment = new_assignment(small_trial(epochs=100_000, epoch_s=0.2))
    assert isinstance(ray.get(owner.start.remote(pool, assignment)), EpochResult)
    assert "leased" in states(pool)
    ray.kill(owner)
    wait_until(lambda: states(pool) == ["idle", "idle"], 15)


def test_slot_killed_in_mid_trial_is_replaced_and_the_trial_ends_whole(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    def kill_slot(report: EpochResult) -> None:
        if report.epoch == 2:
            (slot,) = [slot for slot, status in statuses(pool) if status and status.state == "leased"]
            os.kill(ray.get(slot.pid.remote()), signal.SIGKILL)

    ran = run(pool, new_assignment(small_trial(epochs=5, epoch_s=0.3), trial="slotless"), kill_slot)
    assert ran.epochs == [1, 2, 3, 4, 5]
    assert ran.finished == Finished("completed")
    assert [one.cause for one in ran.reports[-1].failures] == ["slot_lost"]
    wait_until(lambda: not psutil.pid_exists(ran.pids[0]), 60)
    wait_until(lambda: states(pool) == ["idle", "idle"], 60)


def test_cleaners_know_which_cluster_is_theirs(pool: PoolRef, cluster: Cluster) -> None:
    wait_until(lambda: states(pool) == ["idle", "idle"], 60)
    cleaners = living("PlacementGroupCleaner")
    assert len(cleaners) == 2
    for cleaner in cleaners:
        assert json.loads(cleaner.serialized_runtime_env)["env_vars"]["RAY_ADDRESS"] == cluster.address


def test_no_process_is_kept_for_data_sets_that_do_not_exist(pool: PoolRef) -> None:
    wait_until(lambda: states(pool) == ["idle", "idle"], 60)
    assert len(living("TrainController")) == 2
    assert living("DatasetManager") == []


def test_train_controller_killed_in_mid_trial_is_replaced_and_the_trial_ends_whole(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    def kill_controllers(report: EpochResult) -> None:
        if report.epoch == 2:
            for actor in living("TrainController"):
                os.kill(actor.pid, signal.SIGKILL)

    ran = run(pool, new_assignment(small_trial(epochs=5, epoch_s=0.3), trial="headless"), kill_controllers)
    assert ran.epochs == [1, 2, 3, 4, 5]
    assert ran.finished == Finished("completed")
    assert [one.cause for one in ran.reports[-1].failures] == ["slot_lost"]
    wait_until(lambda: not psutil.pid_exists(ran.pids[0]), 60)
    wait_until(lambda: states(pool) == ["idle", "idle"], 60)
