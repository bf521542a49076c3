"""One slot of two data-parallel workers, which enter and leave every trial together, whatever one of them does."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.client import acquire
from orchestrator.slots.messages import Assignment, EpochResult, Finished, PoolRef
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from tests.support.free_port import free_port
from tests.support.slot_trials import Run
from tests.support.small_science import fit_small, small_trial
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.object_store import ObjectStore

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NewAssignment = Callable[..., Assignment]


@pytest.fixture(scope="module")
def pool(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolRef]:
    storage = tmp_path_factory.mktemp("two-workers")
    with SlotPool([2], SlotSpec(cpus_per_worker=1, storage=storage, fit=fit_small)) as slots:
        yield slots.ref


def test_trials_follow_one_another_on_the_same_workers(pool: PoolRef, new_assignment: NewAssignment, run: Run) -> None:
    ran = [run(pool, new_assignment(small_trial(epochs=2, seed=i), trial=f"t{i}")) for i in range(6)]
    assert [one.epochs for one in ran] == [[1, 2]] * 6
    assert len({pid for one in ran for pid in one.pids}) == 1


def test_stopped_trial_leaves_both_ranks_ready_for_the_next(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    with acquire(pool, "owner", timeout_s=60) as lease:
        lease.start(new_assignment(small_trial(epochs=100_000, epoch_s=0.02), trial="stopped"))
        assert isinstance(lease.next(), EpochResult)
    assert run(pool, new_assignment(small_trial(), trial="next")).finished == Finished("completed")


def test_second_rank_killed_costs_no_epoch_and_changes_no_number(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    undisturbed = run(pool, new_assignment(small_trial(), trial="whole"))
    disturbed = run(pool, new_assignment(small_trial(kill=(1, 3, 1)), trial="killed"))
    assert disturbed.epochs == [1, 2, 3, 4]
    assert disturbed.finished == Finished("completed")
    assert disturbed.column("loss") == undisturbed.column("loss")
    assert len(disturbed.reports[-1].failures) == 1


def test_error_on_one_rank_alone_is_retried_and_then_named(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    ran = run(pool, new_assignment(small_trial(raise_on=(1, 2)), trial="lame", max_failures=0))
    assert ran.epochs == [1]
    assert (ran.finished.state, ran.finished.kind) == ("failed", "WorkersLost")
    assert "rank 1 alone broke in epoch 2" in ran.finished.reason


def test_bad_record_on_one_rank_is_not_read_again(pool: PoolRef, new_assignment: NewAssignment, run: Run) -> None:
    ran = run(pool, new_assignment(small_trial(reject=(1, 2, 99)), trial="spoilt", max_failures=9))
    assert (ran.epochs, ran.finished.state, ran.finished.kind) == ([1], "failed", "DataError")
    assert "rank 1: DataError: record 7 of train-00000.parquet is no image" in ran.finished.reason


def test_error_on_all_ranks_fails_the_trial_and_keeps_the_workers(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    before = run(pool, new_assignment(small_trial(), trial="before"))
    ran = run(pool, new_assignment(small_trial(diverge_at=2), trial="diverging"))
    assert (ran.epochs, ran.finished.kind) == ([1], "DivergedError")
    assert run(pool, new_assignment(small_trial(), trial="after")).pids == before.pids


def test_storage_that_cannot_be_read_ends_the_trial_as_such_and_keeps_the_workers(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    before = run(pool, new_assignment(small_trial(), trial="before"))
    away = Bucket.from_uri(f"s3://bucket/runs?region=r&scheme=http&endpoint_override=127.0.0.1%3A{free_port()}")
    ran = run(pool, replace(new_assignment(small_trial(), trial="away"), checkpoints=ObjectStore(away, "away")))
    assert (ran.epochs, ran.finished.state, ran.finished.kind) == ([], "failed", "StorageError")
    assert ran.finished.reason.startswith("s3://bucket/runs?")
    assert "cannot be read" in ran.finished.reason
    assert run(pool, new_assignment(small_trial(), trial="after")).pids == before.pids
