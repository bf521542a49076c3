"""Two studies with real slots on one cluster of two CPUs: a slot changes hands between trials, and no trial is cut."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.planning.capacity import Need, num_slots
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.nodes import nodes
from orchestrator.ray_cluster.study_board import BoardMember
from orchestrator.slots.autoscaler import autoscaled
from orchestrator.slots.client import acquire
from orchestrator.slots.messages import Assignment, EpochResult, Finished, PoolState
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.sharing import NO_WORK, NOTHING, Sharing, SlotSize, Work
from orchestrator.slots.spec import SlotSpec
from search_spaces.sections import Resources
from tests.support.small_science import fit_small, small_trial

pytestmark = [pytest.mark.ray, pytest.mark.slow]
WAIT_S = 90


class RunningStudy:
    """A study with its pool; `state` is the pool's at the last look."""

    def __init__(self, name: str, folder: Path, work: Work) -> None:
        self.sharing = Sharing(name, Resources(), BoardMember(create=True), lambda: "searching")
        self.work, self.state, self._folder = work, NOTHING, folder / name

    @contextmanager
    def slots(self) -> Iterator[SlotPool]:
        def shape(state: PoolState) -> tuple[int, ...]:
            alive = nodes()
            alone = num_slots(alive, Need(1, 1, 0, "pack")).shape
            return self.sharing.shape(self.work, SlotSize(1, 1), state, alive, alone)

        def observe(state: PoolState) -> None:
            self.state = state

        try:
            pool = SlotPool(shape(NOTHING), SlotSpec(cpus_per_worker=1, storage=self._folder, fit=fit_small))
            with pool, autoscaled(pool, shape, observe, look_s=0.5):
                yield pool
        finally:
            self.sharing.leave()

    def until(self, holds: Callable[[PoolState], bool], what: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not holds(self.state):
            assert time.monotonic() < deadline_s, f"{what}: {self.state}"
            time.sleep(0.1)


class RunningTrial:
    """A trial that trains in a thread until it is stopped."""

    def __init__(self, pool: SlotPool, assignment: Assignment, owners: ThreadPoolExecutor) -> None:
        self.lease = acquire(pool.ref, assignment.trial, timeout_s=WAIT_S)
        self.lease.start(assignment)
        self.epochs = list[int]()
        self._ended = owners.submit(self._train)

    def _train(self) -> Finished:
        with self.lease:
            while isinstance(message := self.lease.next(), EpochResult):
                assert not message.failures
                self.epochs.append(message.epoch)
        return message

    def goes_on(self) -> bool:
        """Whether it trains two more epochs."""
        last, deadline_s = len(self.epochs), time.monotonic() + WAIT_S
        while len(self.epochs) < last + 2 and not self._ended.done() and time.monotonic() < deadline_s:
            time.sleep(0.1)
        return len(self.epochs) >= last + 2

    def stop(self) -> None:
        """Ends it as a search's scheduler does."""
        self.lease.stop()
        assert self._ended.result(timeout=WAIT_S) == Finished("stopped")
        assert self.epochs == list(range(1, len(self.epochs) + 1))


@pytest.mark.minutes
def test_a_slot_changes_hands_when_the_first_trial_ends_and_the_last_one_is_kept(
    cluster: Cluster, tmp_path: Path, new_assignment: Callable[..., Assignment]
) -> None:
    one, two = (RunningStudy(name, tmp_path, Work(lambda: 1000)) for name in ("one", "two"))
    endless = small_trial(epochs=100_000, epoch_s=0.2)
    with one.slots() as ones, ThreadPoolExecutor(3) as owners:
        first, second = (RunningTrial(ones, new_assignment(endless, trial=name), owners) for name in ("t1", "t2"))
        one.until(lambda state: state.stepped == {"t1", "t2"}, "both trials run")
        with two.slots() as twos:
            two.until(lambda state: state.waiting == 1, "the second study waits for room, and knows it")
            assert [(other.study, other.slots) for other in two.sharing.others] == [("one", 2)]
            assert first.goes_on()
            assert second.goes_on()
            first.stop()
            newcomer = RunningTrial(twos, new_assignment(endless, trial="t3"), owners)
            assert newcomer.goes_on()
            assert second.goes_on(), "the slot of the trial that ended is the one that changed hands"
            # The first study is at its gate: it keeps its slot, and the second has no more than that one.
            one.work = Work(lambda: 1, final=True)
            second.stop()
            assert newcomer.goes_on()
            acquire(ones.ref, "gate", timeout_s=5).release()
            assert (one.state.serving, two.state.serving) == (1, 1)
            one.work = NO_WORK
            two.until(lambda state: state.serving == 2, "what the first needs no longer, the second takes")
            newcomer.stop()
