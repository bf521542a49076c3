"""The slot's rules, with real threads and a clock of our own."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.slots.failures import Failure
from orchestrator.slots.messages import Assignment, EpochResult, Finished, Moved
from orchestrator.slots.slot_state import FAILED_RUNS, Mailbox
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
def mailbox(clock: Clock) -> Mailbox:
    return Mailbox(owner_timeout_s=10, decision_wait_s=5, clock=clock)


def job(epochs: int = 4, **fields: Any) -> Assignment:
    return Assignment(
        trial="t00000", config={"epochs": epochs}, checkpoints=FolderStore(Path("t")), data_root=Path("d"), **fields
    )


def started(mailbox: Mailbox, given: Assignment | None = None) -> tuple[str, str]:
    """A lease and a group that has taken its job."""
    group = mailbox.run_started() + "/first"
    assert mailbox.take(group, 0) == "wait"
    token = mailbox.lease("owner")
    assert token is not None
    assert mailbox.start(token, given or job())
    assert isinstance(mailbox.take(group, 0), Assignment)
    return token, group


def restarted(mailbox: Mailbox, group: str, name: str) -> str:
    return group.split("/", maxsplit=1)[0] + "/" + name


def epochs(mailbox: Mailbox, token: str) -> list[int]:
    found = []
    while isinstance(message := mailbox.next(token, 0), EpochResult):
        found.append(message.epoch)
    return found


def test_slot_is_leased_only_while_its_workers_wait_for_a_trial(mailbox: Mailbox) -> None:
    assert mailbox.lease("early") is None
    assert mailbox.status().state == "starting"
    mailbox.take(mailbox.run_started() + "/g", 0)
    assert mailbox.status().state == "idle"
    token = mailbox.lease("a")
    assert token is not None
    assert mailbox.lease("b") is None
    assert mailbox.lease("a") == token, "a repeated call of the same owner is harmless"


def test_each_epoch_is_passed_on_once_when_a_new_group_repeats_some(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.put(group, 1, {})
    mailbox.put(group, 2, {})
    again = restarted(mailbox, group, "second")
    taken = mailbox.take(again, 0)
    assert isinstance(taken, Assignment)
    assert (taken.epochs_known, len(taken.failures)) == (2, 1)
    for epoch in (1, 2, 3):
        mailbox.put(again, epoch, {})
    assert epochs(mailbox, token) == [1, 2, 3]


def test_epochs_the_owner_knew_before_are_dropped(mailbox: Mailbox) -> None:
    token, group = started(mailbox, job(epochs_known=2))
    for epoch in (1, 2, 3):
        mailbox.put(group, epoch, {})
    assert epochs(mailbox, token) == [3]


def test_replaced_group_is_told_to_leave_and_its_reports_are_ignored(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.take(restarted(mailbox, group, "second"), 0)
    assert mailbox.put(group, 1, {})
    mailbox.end(group, Finished("completed"))
    assert mailbox.next(token, 0) == "wait"


def test_groups_of_an_earlier_run_are_turned_away(mailbox: Mailbox) -> None:
    _, group = started(mailbox)
    mailbox.run_started()
    assert mailbox.take(restarted(mailbox, group, "late"), 0) == "close"


def test_trial_fails_after_its_allowed_losses_and_the_next_is_served(mailbox: Mailbox) -> None:
    token, group = started(mailbox, job(max_failures=1))
    mailbox.put(group, 1, {})
    mailbox.take(restarted(mailbox, group, "second"), 0)
    mailbox.group_lost(group.split("/", maxsplit=1)[0], Failure("crash", "rank 0: killed"))
    third = restarted(mailbox, group, "third")
    assert mailbox.take(third, 0) == "wait"
    assert epochs(mailbox, token) == [1]
    ended = mailbox.next(token, 0)
    assert isinstance(ended, Finished)
    assert ended.state == "failed"
    assert "2 times" in ended.reason
    assert "rank 0: killed" in ended.reason
    mailbox.release(token)
    assert mailbox.lease("next") is not None


def test_first_word_on_a_loss_is_the_one_that_counts(mailbox: Mailbox) -> None:
    _, group = started(mailbox, job(max_failures=9))
    run = group.split("/", maxsplit=1)[0]
    mailbox.group_lost(run, Failure("hang", "rank 1 made no progress"))
    mailbox.group_lost(run, Failure("crash", "rank 1: killed, for that reason"))
    taken = mailbox.take(restarted(mailbox, group, "second"), 0)
    assert isinstance(taken, Assignment)
    assert [failure.cause for failure in taken.failures] == ["hang"]
    taken = mailbox.take(restarted(mailbox, group, "third"), 0)
    assert isinstance(taken, Assignment)
    assert [failure.cause for failure in taken.failures] == ["hang", "crash"], "the next loss has a cause of its own"
    mailbox.run_failed("the controller died")
    taken = mailbox.take(mailbox.run_started() + "/fourth", 0)
    assert isinstance(taken, Assignment)
    assert taken.failures[-1].cause == "slot_lost"


def test_losses_on_earlier_slots_count(mailbox: Mailbox) -> None:
    token, group = started(mailbox, job(max_failures=1, failures=(Failure("crash", "before"),)))
    mailbox.take(restarted(mailbox, group, "second"), 0)
    ended = mailbox.next(token, 0)
    assert isinstance(ended, Finished)
    assert ended.state == "failed"


def test_group_that_dies_without_a_trial_costs_nobody_a_failure(mailbox: Mailbox) -> None:
    group = mailbox.run_started() + "/first"
    mailbox.take(group, 0)
    token = mailbox.lease("owner")
    assert token is not None
    mailbox.start(token, job())
    taken = mailbox.take(restarted(mailbox, group, "second"), 0)
    assert isinstance(taken, Assignment)
    assert taken.failures == ()


def test_silent_owner_loses_the_lease_and_the_workers_leave(mailbox: Mailbox, clock: Clock) -> None:
    token, group = started(mailbox)
    clock.now_s = 9
    assert mailbox.heartbeat(token)
    clock.now_s = 20
    assert mailbox.status().state == "leaving"
    assert mailbox.put(group, 1, {})
    assert not mailbox.heartbeat(token)
    assert mailbox.next(token, 0) == "lost"
    mailbox.end(group, Finished("stopped"))
    mailbox.take(group, 0)
    assert mailbox.status().state == "idle"


def test_lease_that_never_starts_a_trial_expires(mailbox: Mailbox, clock: Clock) -> None:
    mailbox.take(mailbox.run_started() + "/g", 0)
    assert mailbox.lease("a") is not None
    clock.now_s = 11
    assert mailbox.lease("b") is not None


def test_released_slot_is_free_when_its_workers_have_left(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.release(token)
    assert mailbox.lease("next") is None
    assert mailbox.put(group, 1, {})
    mailbox.end(group, Finished("stopped"))
    assert mailbox.lease("next") is None, "not before the workers ask for a trial"
    mailbox.take(group, 0)
    assert mailbox.lease("next") is not None


def test_released_trial_whose_group_dies_is_forgotten(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.release(token)
    assert mailbox.take(restarted(mailbox, group, "second"), 0) == "wait"
    assert mailbox.lease("next") is not None


def test_stopped_trial_still_gives_its_owner_the_end(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    assert mailbox.stop(token)
    assert mailbox.put(group, 1, {})
    mailbox.end(group, Finished("stopped"))
    assert epochs(mailbox, token) == [1]
    assert mailbox.next(token, 0) == Finished("stopped")


def test_report_waits_for_the_owners_decision_but_no_longer_than_the_epoch_took() -> None:
    mailbox = Mailbox(decision_wait_s=5)
    token, group = started(mailbox)
    began_s = time.monotonic()
    assert not mailbox.put(group, 1, {})
    assert time.monotonic() - began_s < 0.2, "the epoch took no time, so no time is waited"
    time.sleep(1.0)
    assert isinstance(mailbox.next(token, 0), EpochResult)

    def decide() -> None:
        assert isinstance(mailbox.next(token, 5), EpochResult)
        time.sleep(0.2)
        mailbox.release(token)

    owner = threading.Thread(target=decide)
    owner.start()
    assert mailbox.put(group, 2, {}), "the release came 0.2 s after the report and is its answer"
    owner.join()


def test_report_is_answered_as_soon_as_the_owner_asks_for_more() -> None:
    mailbox = Mailbox(decision_wait_s=30)
    token, group = started(mailbox)
    time.sleep(1.0)
    owner = threading.Thread(target=lambda: [mailbox.next(token, 5), mailbox.next(token, 5)])
    owner.start()
    began_s = time.monotonic()
    assert not mailbox.put(group, 1, {})
    assert time.monotonic() - began_s < 0.5
    mailbox.put(group, 4, {})
    owner.join()


def test_error_is_the_trials_own_only_if_every_rank_has_it(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    answers: dict[int, bool] = {}
    ranks = [
        threading.Thread(target=lambda rank=rank: answers.update({rank: mailbox.agree(group, rank, 2, 5)}))
        for rank in (0, 1)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert answers == {0: True, 1: True}
    mailbox.end(group, Finished("failed"))
    mailbox.release(token)
    mailbox.take(group, 0)
    token = mailbox.lease("next") or ""
    mailbox.start(token, job())
    mailbox.take(group, 0)
    assert not mailbox.agree(group, 1, 2, 0.05), "an earlier trial's agreement does not count"


def test_group_that_is_called_away_leaves_the_trial_to_the_next_one(mailbox: Mailbox) -> None:
    token, group = started(mailbox, job(max_failures=0))
    mailbox.put(group, 1, {})
    assert not mailbox.called_away(group)
    mailbox.call_away(group)
    assert mailbox.called_away(group)
    mailbox.leave(group)
    assert mailbox.take(group, 0) == "close", "it does not take its own trial again"
    again = mailbox.run_started() + "/elsewhere"
    assert not mailbox.called_away(again)
    taken = mailbox.take(again, 0)
    assert isinstance(taken, Assignment)
    assert (taken.epochs_known, taken.failures) == (1, ())
    assert epochs(mailbox, token) == [1]


def test_idle_group_that_is_called_away_goes(mailbox: Mailbox) -> None:
    group = mailbox.run_started() + "/g"
    assert mailbox.take(group, 0) == "wait"
    mailbox.call_away(group)
    assert mailbox.take(group, 0) == "close"


def test_node_taken_before_its_workers_had_left_is_a_preemption(mailbox: Mailbox) -> None:
    _, group = started(mailbox, job(max_failures=0))
    mailbox.call_away(group)
    mailbox.group_lost(group.split("/", maxsplit=1)[0], Failure("crash", "rank 0: died"))
    taken = mailbox.take(restarted(mailbox, group, "second"), 0)
    assert isinstance(taken, Assignment), "it does not count as the trial's own"
    assert [failure.cause for failure in taken.failures] == ["preempted"]


def test_moving_slot_sends_its_owner_on_once_the_workers_have_left(mailbox: Mailbox) -> None:
    token, group = started(mailbox, job(max_failures=0))
    mailbox.put(group, 1, {})
    mailbox.move()
    assert mailbox.called_away(group)
    assert not mailbox.deserted
    mailbox.leave(group)
    assert mailbox.take(restarted(mailbox, group, "second"), 0) == "close", "no other group serves here"
    assert isinstance(mailbox.next(token, 0), EpochResult)
    assert not mailbox.deserted, "its owner has not been told yet"
    assert mailbox.next(token, 0) == Moved(())
    assert mailbox.deserted
    assert mailbox.status().state == "starting"


def test_moving_slot_tells_its_owner_the_losses_so_far(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.move()
    mailbox.group_lost(group.split("/", maxsplit=1)[0], Failure("node_lost", "rank 0: its node died"))
    mailbox.run_failed("controller died")
    moved = mailbox.next(token, 0)
    assert isinstance(moved, Moved)
    assert [failure.cause for failure in moved.failures] == ["preempted"]
    assert mailbox.deserted
    assert mailbox.lease("another") is None


def test_moving_slot_waits_for_a_trial_that_has_ended_and_its_owner(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.move()
    mailbox.end(group, Finished("completed"))
    assert mailbox.next(token, 0) == Finished("completed")
    assert not mailbox.deserted
    mailbox.release(token)
    assert mailbox.deserted


def test_closing_calls_the_workers_away_with_a_checkpoint(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.close()
    assert mailbox.called_away(group)
    mailbox.leave(group)
    assert mailbox.next(token, 0) == Finished("stopped")


def test_stop_at_once_does_not_wait_for_the_epoch(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.stop(token)
    assert not mailbox.called_away(group), "an early stop is at the epoch's end"
    mailbox.stop(token, at_once=True)
    assert mailbox.called_away(group)
    mailbox.leave(group)
    assert mailbox.next(token, 0) == Finished("stopped")
    mailbox.take(group, 0)
    mailbox.release(token)
    assert not mailbox.called_away(group), "it was about that trial alone"


def test_closing_stops_the_trial_and_sends_the_workers_home(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.close()
    assert mailbox.put(group, 1, {})
    mailbox.end(group, Finished("stopped"))
    assert mailbox.take(group, 0) == "close"
    assert epochs(mailbox, token) == [1]
    assert mailbox.next(token, 0) == Finished("stopped")
    assert mailbox.lease("late") is None


def test_closing_answers_an_owner_whose_trial_was_not_taken_yet(mailbox: Mailbox) -> None:
    mailbox.take(mailbox.run_started() + "/g", 0)
    token = mailbox.lease("owner")
    assert token is not None
    mailbox.start(token, job())
    mailbox.close()
    assert mailbox.next(token, 0) == Finished("stopped")


def test_draining_lets_the_trial_finish(mailbox: Mailbox) -> None:
    token, group = started(mailbox)
    mailbox.close(drain=True)
    assert not mailbox.put(group, 1, {})
    mailbox.take(restarted(mailbox, group, "second"), 0)
    mailbox.end(restarted(mailbox, group, "second"), Finished("completed"))
    assert mailbox.take(restarted(mailbox, group, "second"), 0) == "close"
    assert epochs(mailbox, token) == [1]


def test_slot_whose_run_does_not_start_says_why(mailbox: Mailbox) -> None:
    for _ in range(FAILED_RUNS):
        assert mailbox.status().state == "starting", "one run that fails may be a call that got lost"
        run = mailbox.run_started()
        mailbox.run_failed("no resources")
    assert (mailbox.status().state, mailbox.status().failure) == ("broken", "no resources")
    mailbox.take(mailbox.run_started() + "/g", 0)
    assert mailbox.status().state == "idle"
    assert mailbox.take(run + "/g", 0) == "close"


def test_slot_whose_workers_find_no_room_waits_for_it_however_long_and_says_so(mailbox: Mailbox) -> None:
    for _ in range(FAILED_RUNS + 1):
        run = mailbox.run_started()
        mailbox.run_failed("1 worker waits for room", no_room=True)
        assert (mailbox.status().state, mailbox.status().no_room) == ("starting", "1 worker waits for room")
    mailbox.run_failed("the controller died")
    assert (mailbox.status().state, mailbox.status().no_room) == ("starting", "")
    mailbox.run_failed("1 worker waits for room", no_room=True)
    mailbox.take(run + "/g", 0)
    assert (mailbox.status().state, mailbox.status().no_room) == ("idle", "")


def test_slot_serves_from_a_groups_first_call_until_the_group_or_its_run_is_lost(mailbox: Mailbox) -> None:
    assert not mailbox.status().serving
    _, group = started(mailbox)
    assert mailbox.status().serving
    mailbox.group_lost(group.split("/", maxsplit=1)[0], Failure("crash", "rank 0 died"))
    assert mailbox.status().state == "leased"
    assert not mailbox.status().serving, "the trial waits for workers that may never come"
    mailbox.take(restarted(mailbox, group, "second"), 0)
    assert mailbox.status().serving
    mailbox.run_failed("the controller died")
    assert not mailbox.status().serving
