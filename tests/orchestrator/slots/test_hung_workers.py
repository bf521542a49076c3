"""Workers that hang instead of dying: the slot's hang detector finds them, and the trial's numbers do not change."""

from collections.abc import Callable, Iterator

import pytest

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.messages import Assignment, Finished, PoolRef
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from tests.support.slot_trials import Run
from tests.support.small_science import fit_small, small_trial

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NewAssignment = Callable[..., Assignment]
HANG_S = 20.0
"""Long enough for a process that only waits for a processor on a busy machine."""


@pytest.fixture(scope="module")
def pool(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolRef]:
    storage = tmp_path_factory.mktemp("hung")
    with SlotPool([2], SlotSpec(cpus_per_worker=1, storage=storage, fit=fit_small, hang_timeout_s=HANG_S)) as slots:
        yield slots.ref


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("stall", "made no progress"),
        # A minute of silence.
        pytest.param("freeze", "rank 1 sent no heartbeat", marks=pytest.mark.minutes),
    ],
)
def test_hung_rank_is_found_and_replaced_and_changes_no_number(
    pool: PoolRef, new_assignment: NewAssignment, run: Run, fault: str, said: str
) -> None:
    undisturbed = run(pool, new_assignment(small_trial(), trial="whole"))
    disturbed = run(pool, new_assignment(small_trial(**{fault: (1, 3, 1)}), trial=fault, max_failures=2))
    assert disturbed.epochs == [1, 2, 3, 4]
    assert disturbed.finished == Finished("completed")
    assert disturbed.column("loss") == undisturbed.column("loss")
    (loss,) = disturbed.reports[-1].failures
    assert loss.cause == "hang"
    assert said in loss.text


@pytest.mark.minutes
def test_trial_that_always_hangs_fails_as_such_and_the_slot_goes_on(
    pool: PoolRef, new_assignment: NewAssignment, run: Run
) -> None:
    ran = run(pool, new_assignment(small_trial(stall=(0, 2, 99)), trial="endless", max_failures=0))
    assert (ran.epochs, ran.finished.state, ran.finished.kind) == ([1], "failed", "WorkersHung")
    assert "resources.hang_timeout_s" in ran.finished.reason
    assert run(pool, new_assignment(small_trial(), trial="next")).finished == Finished("completed")
