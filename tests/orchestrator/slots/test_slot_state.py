"""The rules of a slot, with real threads and a test clock."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.slots.failures import Failure
from orchestrator.slots.messages import Assignment, EpochResult, Finished, GroupId, SlotPreempted
from orchestrator.slots.slot_state import SlotState
from orchestrator.slots.worker_groups import FAILED_RUNS
from trainables.checkpoints.folder_store import FolderStore


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slot(clock: Clock) -> SlotState:
    return SlotState(owner_timeout_s=10, decision_wait_s=5, clock=clock)


def assignment(epochs: int = 4, **fields: Any) -> Assignment:
    return Assignment(
        trial="t00000", config={"epochs": epochs}, checkpoints=FolderStore(Path("t")), data_root=Path("d"), **fields
    )


def new_group(slot: SlotState, name: str) -> GroupId:
    """The first group of a new run."""
    run = slot.run_started()
    assert run is not None
    return GroupId(run, name)


def started(slot: SlotState, given: Assignment | None = None) -> tuple[str, GroupId]:
    """A lease and a group that has taken its trial."""
    group = new_group(slot, "first")
    assert slot.take(group, 0) == "wait"
    token = slot.lease("owner")
    assert token is not None
    assert slot.start(token, given or assignment())
    assert isinstance(slot.take(group, 0), Assignment)
    return token, group


def restarted(group: GroupId, name: str) -> GroupId:
    """The next group of the same run."""
    return GroupId(group.run, name)


def epochs(slot: SlotState, token: str) -> list[int]:
    found = []
    while isinstance(message := slot.next(token, 0), EpochResult):
        found.append(message.epoch)
    return found


def test_slot_is_leased_only_while_its_workers_wait_for_a_trial(slot: SlotState) -> None:
    assert slot.lease("early") is None
    assert slot.status().state == "starting"
    slot.take(new_group(slot, "g"), 0)
    assert slot.status().state == "idle"
    token = slot.lease("a")
    assert token is not None
    assert slot.lease("b") is None
    assert slot.lease("a") == token, "a repeated call of the same owner is harmless"


def test_each_epoch_is_passed_on_once_when_a_new_group_repeats_some(slot: SlotState) -> None:
    token, group = started(slot)
    slot.put(group, 1, {})
    slot.put(group, 2, {})
    again = restarted(group, "second")
    taken = slot.take(again, 0)
    assert isinstance(taken, Assignment)
    assert (taken.epochs_known, len(taken.failures)) == (2, 1)
    for epoch in (1, 2, 3):
        slot.put(again, epoch, {})
    assert epochs(slot, token) == [1, 2, 3]


def test_epochs_the_owner_knew_before_are_dropped(slot: SlotState) -> None:
    token, group = started(slot, assignment(epochs_known=2))
    for epoch in (1, 2, 3):
        slot.put(group, epoch, {})
    assert epochs(slot, token) == [3]


def test_replaced_group_is_told_to_leave_and_its_reports_are_ignored(slot: SlotState) -> None:
    token, group = started(slot)
    slot.take(restarted(group, "second"), 0)
    assert slot.put(group, 1, {})
    slot.end(group, Finished("completed"))
    assert slot.next(token, 0) == "wait"


def test_groups_of_an_earlier_run_are_turned_away(slot: SlotState) -> None:
    _, group = started(slot)
    slot.run_started()
    assert slot.take(restarted(group, "late"), 0) == "close"


def test_trial_fails_after_its_allowed_losses_and_the_next_is_served(slot: SlotState) -> None:
    token, group = started(slot, assignment(max_failures=1))
    slot.put(group, 1, {})
    slot.take(restarted(group, "second"), 0)
    slot.group_lost(group.run, Failure("crash", "rank 0: killed"))
    third = restarted(group, "third")
    assert slot.take(third, 0) == "wait"
    assert epochs(slot, token) == [1]
    ended = slot.next(token, 0)
    assert isinstance(ended, Finished)
    assert ended.state == "failed"
    assert "2 times" in ended.reason
    assert "rank 0: killed" in ended.reason
    slot.release(token)
    assert slot.lease("next") is not None


def test_first_reason_of_a_loss_is_the_one_that_counts(slot: SlotState) -> None:
    _, group = started(slot, assignment(max_failures=9))
    run = group.run
    slot.group_lost(run, Failure("hang", "rank 1 made no progress"))
    slot.group_lost(run, Failure("crash", "rank 1: killed, for that reason"))
    taken = slot.take(restarted(group, "second"), 0)
    assert isinstance(taken, Assignment)
    assert [failure.cause for failure in taken.failures] == ["hang"]
    taken = slot.take(restarted(group, "third"), 0)
    assert isinstance(taken, Assignment)
    assert [failure.cause for failure in taken.failures] == ["hang", "crash"], "the next loss has its own cause"
    slot.run_failed("the controller died")
    taken = slot.take(new_group(slot, "fourth"), 0)
    assert isinstance(taken, Assignment)
    assert taken.failures[-1].cause == "slot_lost"


def test_losses_on_earlier_slots_count(slot: SlotState) -> None:
    token, group = started(slot, assignment(max_failures=1, failures=(Failure("crash", "before"),)))
    slot.take(restarted(group, "second"), 0)
    ended = slot.next(token, 0)
    assert isinstance(ended, Finished)
    assert ended.state == "failed"


def test_group_that_dies_without_a_trial_costs_nobody_a_failure(slot: SlotState) -> None:
    group = new_group(slot, "first")
    slot.take(group, 0)
    token = slot.lease("owner")
    assert token is not None
    slot.start(token, assignment())
    taken = slot.take(restarted(group, "second"), 0)
    assert isinstance(taken, Assignment)
    assert taken.failures == ()


def test_silent_owner_loses_the_lease_and_the_workers_leave(slot: SlotState, clock: Clock) -> None:
    token, group = started(slot)
    clock.now_s = 9
    assert slot.heartbeat(token)
    clock.now_s = 20
    assert slot.status().state == "leaving"
    assert slot.put(group, 1, {})
    assert not slot.heartbeat(token)
    assert slot.next(token, 0) == "lost"
    slot.end(group, Finished("stopped"))
    slot.take(group, 0)
    assert slot.status().state == "idle"


def test_lease_that_never_starts_a_trial_expires(slot: SlotState, clock: Clock) -> None:
    slot.take(new_group(slot, "g"), 0)
    assert slot.lease("a") is not None
    clock.now_s = 11
    assert slot.lease("b") is not None


def test_released_slot_is_free_when_its_workers_have_left(slot: SlotState) -> None:
    token, group = started(slot)
    slot.release(token)
    assert slot.lease("next") is None
    assert slot.put(group, 1, {})
    slot.end(group, Finished("stopped"))
    assert slot.lease("next") is None, "not before the workers ask for a trial"
    slot.take(group, 0)
    assert slot.lease("next") is not None


def test_released_trial_whose_group_dies_is_forgotten(slot: SlotState) -> None:
    token, group = started(slot)
    slot.release(token)
    assert slot.take(restarted(group, "second"), 0) == "wait"
    assert slot.lease("next") is not None


def test_stopped_trial_still_gives_its_owner_the_end(slot: SlotState) -> None:
    token, group = started(slot)
    assert slot.stop(token)
    assert slot.put(group, 1, {})
    slot.end(group, Finished("stopped"))
    assert epochs(slot, token) == [1]
    assert slot.next(token, 0) == Finished("stopped")


def test_report_waits_for_the_owners_decision_but_no_longer_than_the_epoch_took() -> None:
    slot = SlotState(decision_wait_s=5)
    token, group = started(slot)
    began_s = time.monotonic()
    assert not slot.put(group, 1, {})
    assert time.monotonic() - began_s < 0.2, "the epoch took no time, so the report does not wait"
    time.sleep(1.0)
    assert isinstance(slot.next(token, 0), EpochResult)

    def decide() -> None:
        assert isinstance(slot.next(token, 5), EpochResult)
        time.sleep(0.2)
        slot.release(token)

    owner = threading.Thread(target=decide)
    owner.start()
    assert slot.put(group, 2, {}), "the release comes 0.2 s after the report and answers it"
    owner.join()


def test_report_is_answered_as_soon_as_the_owner_asks_for_more() -> None:
    slot = SlotState(decision_wait_s=30)
    token, group = started(slot)
    time.sleep(1.0)
    owner = threading.Thread(target=lambda: [slot.next(token, 5), slot.next(token, 5)])
    owner.start()
    began_s = time.monotonic()
    assert not slot.put(group, 1, {})
    assert time.monotonic() - began_s < 0.5
    slot.put(group, 4, {})
    owner.join()


def test_error_is_the_trials_own_only_if_every_rank_has_it(slot: SlotState) -> None:
    token, group = started(slot)
    answers: dict[int, bool] = {}
    ranks = [
        threading.Thread(target=lambda rank=rank: answers.update({rank: slot.agree(group, rank, 2, 5)}))
        for rank in (0, 1)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert answers == {0: True, 1: True}
    slot.end(group, Finished("failed"))
    slot.release(token)
    slot.take(group, 0)
    token = slot.lease("next") or ""
    slot.start(token, assignment())
    slot.take(group, 0)
    assert not slot.agree(group, 1, 2, 0.05), "an earlier trial's agreement does not count"


def test_preempted_group_leaves_the_trial_to_the_next_one(slot: SlotState) -> None:
    token, group = started(slot, assignment(max_failures=0))
    slot.put(group, 1, {})
    assert not slot.must_leave(group)
    slot.preempt_group()
    assert slot.must_leave(group)
    slot.leave(group)
    assert slot.take(group, 0) == "close", "it does not take its trial again"
    again = new_group(slot, "elsewhere")
    assert not slot.must_leave(again)
    taken = slot.take(again, 0)
    assert isinstance(taken, Assignment)
    assert (taken.epochs_known, taken.failures) == (1, ())
    assert epochs(slot, token) == [1]


def test_idle_group_that_is_preempted_goes(slot: SlotState) -> None:
    group = new_group(slot, "g")
    assert slot.take(group, 0) == "wait"
    slot.preempt_group()
    assert slot.take(group, 0) == "close"


def test_preempting_a_group_leaves_its_successor_alone(slot: SlotState) -> None:
    _, group = started(slot)
    slot.group_lost(group.run, Failure("crash", "rank 0: died"))
    again = restarted(group, "second")
    assert isinstance(slot.take(again, 0), Assignment)
    slot.preempt_group(group)
    assert not slot.must_leave(again)
    slot.preempt_group(again)
    assert slot.must_leave(again)


def test_node_lost_before_its_workers_had_left_is_a_preemption(slot: SlotState) -> None:
    _, group = started(slot, assignment(max_failures=0))
    slot.preempt_group()
    slot.group_lost(group.run, Failure("crash", "rank 0: died"))
    taken = slot.take(restarted(group, "second"), 0)
    assert isinstance(taken, Assignment), "the loss does not count as the trial's own fault"
    assert [failure.cause for failure in taken.failures] == ["preempted"]


def test_preempted_slot_sends_its_owner_on_once_the_workers_have_left(slot: SlotState) -> None:
    token, group = started(slot, assignment(max_failures=0))
    slot.put(group, 1, {})
    slot.preempt_slot()
    assert slot.must_leave(group)
    assert not slot.may_restart
    slot.leave(group)
    assert slot.take(restarted(group, "second"), 0) == "close", "no other group serves here"
    assert isinstance(slot.next(token, 0), EpochResult)
    assert not slot.may_restart, "its owner has not read the preemption yet"
    assert slot.next(token, 0) == SlotPreempted(())
    assert slot.may_restart
    assert slot.status().state == "starting"


def test_preempted_slot_reports_the_losses_so_far_to_its_owner(slot: SlotState) -> None:
    token, group = started(slot)
    slot.preempt_slot()
    slot.group_lost(group.run, Failure("node_lost", "rank 0: its node died"))
    slot.run_failed("controller died")
    preempted = slot.next(token, 0)
    assert isinstance(preempted, SlotPreempted)
    assert [failure.cause for failure in preempted.failures] == ["preempted"]
    assert slot.may_restart
    assert slot.lease("another") is None


def test_preempted_slot_waits_for_the_owner_of_an_ended_trial(slot: SlotState) -> None:
    token, group = started(slot)
    slot.preempt_slot()
    slot.end(group, Finished("completed"))
    assert slot.next(token, 0) == Finished("completed")
    assert not slot.may_restart
    slot.release(token)
    assert slot.may_restart


def test_closing_makes_the_workers_leave_with_a_checkpoint(slot: SlotState) -> None:
    token, group = started(slot)
    slot.close()
    assert slot.must_leave(group)
    slot.leave(group)
    assert slot.next(token, 0) == Finished("stopped")


def test_stop_at_once_does_not_wait_for_the_epoch(slot: SlotState) -> None:
    token, group = started(slot)
    slot.stop(token)
    assert not slot.must_leave(group), "an early stop waits for the epoch's end"
    slot.stop(token, at_once=True)
    assert slot.must_leave(group)
    slot.leave(group)
    assert slot.next(token, 0) == Finished("stopped")
    slot.take(group, 0)
    slot.release(token)
    assert not slot.must_leave(group), "the request was for that trial alone"


def test_closing_stops_the_trial_and_dismisses_the_workers(slot: SlotState) -> None:
    token, group = started(slot)
    slot.close()
    assert slot.put(group, 1, {})
    slot.end(group, Finished("stopped"))
    assert slot.take(group, 0) == "close"
    assert epochs(slot, token) == [1]
    assert slot.next(token, 0) == Finished("stopped")
    assert slot.lease("late") is None


def test_closing_answers_an_owner_whose_trial_was_not_taken_yet(slot: SlotState) -> None:
    slot.take(new_group(slot, "g"), 0)
    token = slot.lease("owner")
    assert token is not None
    slot.start(token, assignment())
    slot.close()
    assert slot.next(token, 0) == Finished("stopped")


def test_draining_lets_the_trial_finish(slot: SlotState) -> None:
    token, group = started(slot)
    slot.close(drain=True)
    assert not slot.put(group, 1, {})
    slot.take(restarted(group, "second"), 0)
    slot.end(restarted(group, "second"), Finished("completed"))
    assert slot.take(restarted(group, "second"), 0) == "close"
    assert epochs(slot, token) == [1]


def test_slot_whose_run_does_not_start_says_why(slot: SlotState) -> None:
    for _ in range(FAILED_RUNS):
        assert slot.status().state == "starting", "one failed run may be a lost call"
        run = slot.run_started()
        slot.run_failed("no resources")
    assert (slot.status().state, slot.status().failure) == ("broken", "no resources")
    slot.take(new_group(slot, "g"), 0)
    assert slot.status().state == "idle"
    assert slot.take(GroupId(run, "g"), 0) == "close"


def test_slot_whose_workers_find_no_room_waits_for_it_however_long_and_says_so(slot: SlotState) -> None:
    for _ in range(FAILED_RUNS + 1):
        run = slot.run_started()
        slot.run_failed("1 worker waits for room", no_room=True)
        assert (slot.status().state, slot.status().no_room) == ("starting", "1 worker waits for room")
    slot.run_failed("the controller died")
    assert (slot.status().state, slot.status().no_room) == ("starting", "")
    slot.run_failed("1 worker waits for room", no_room=True)
    slot.take(GroupId(run, "g"), 0)
    assert (slot.status().state, slot.status().no_room) == ("idle", "")


def test_slot_serves_from_a_groups_first_call_until_the_group_or_its_run_is_lost(slot: SlotState) -> None:
    assert not slot.status().serving
    _, group = started(slot)
    assert slot.status().serving
    slot.group_lost(group.run, Failure("crash", "rank 0 died"))
    assert slot.status().state == "leased"
    assert not slot.status().serving, "the trial waits for workers that may never come"
    slot.take(restarted(group, "second"), 0)
    assert slot.status().serving
    slot.run_failed("the controller died")
    assert not slot.status().serving
