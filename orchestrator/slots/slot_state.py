"""The rules of a slot, without Ray: what passes between a trial's owner and the workers that run the trial.

Three parties call the slot state from threads of their own. The *owner* leases the slot, assigns its trial and asks for
epoch after epoch. The *worker group*, through its rank 0, takes the trial, reports each epoch and learns whether to
stop. The *pool* closes the slot. `state_machine` lists the states and their transitions.
"""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Literal

from orchestrator.slots.claim import Claim, StopRequest
from orchestrator.slots.failures import Failure
from orchestrator.slots.messages import Assignment, EpochResult, Finished, GroupId, SlotPreempted, SlotStatus
from orchestrator.slots.slot_status import slot_status
from orchestrator.slots.state_machine import MODE, Mode, ModeEvent, StateMachine, WorkersState
from orchestrator.slots.worker_groups import WorkerGroups

OWNER_TIMEOUT_S = 15.0
DECISION_WAIT_S = 5.0


class SlotState:
    """One slot's claim, worker groups and mode. Every method may be called from any thread; waits are bounded."""

    def __init__(
        self,
        *,
        owner_timeout_s: float = OWNER_TIMEOUT_S,
        decision_wait_s: float = DECISION_WAIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = threading.Condition()
        self._owner_timeout_s, self._decision_wait_s, self._clock = owner_timeout_s, decision_wait_s, clock
        self._claim, self._groups, self._mode = Claim(), WorkerGroups(), StateMachine(MODE, Mode.OPEN)
        self._preempted = False  # whether the slot's own node is about to go
        self._last_put_s = 0.0
        self._groups_lost = 0

    # The owner's side.

    def lease(self, owner: str) -> str | None:
        """A token for the slot if its workers wait for a trial, else None. The same owner gets the same token, which
        makes a repeated call harmless."""
        with self._changed:
            self._expire()
            if self._claim.held and self._claim.owner == owner:
                return self._claim.token
            available = self._claim.free and self._groups.state is WorkersState.IDLE
            if not available or self.closing or self._preempted:
                return None
            self._claim = Claim(uuid.uuid4().hex, owner, self._clock())
            self._claim.lease()
            return self._claim.token

    def start(self, token: str, assignment: Assignment) -> bool:
        """Assigns the trial; False if the lease is lost. A lease has one trial: a repeated call changes nothing."""
        with self._changed:
            claim = self._owned(token)
            if claim is not None and claim.assign(assignment):
                self._changed.notify_all()
            return claim is not None

    def next(self, token: str, timeout_s: float) -> EpochResult | Finished | SlotPreempted | Literal["wait", "lost"]:
        """The next epoch, each exactly once, or the trial's end, or the slot's preemption; "wait" if none came yet."""
        with self._changed:
            claim = self._owned(token)
            if claim is None:
                return "lost"
            claim.asking += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: claim.has_news or self._moves(claim), timeout_s)
            claim.asking -= 1
            if claim.free:
                return "lost"
            if claim.reports:
                return claim.reports.popleft()
            if self._moves(claim):
                claim.release()
                return SlotPreempted(claim.failures)
            return claim.finished or "wait"

    def stop(self, token: str, at_once: bool = False) -> bool:
        """Asks the workers to leave the trial at their epoch's end, or at the next step with a checkpoint; the owner
        still gets `Finished`. False if the lease is lost."""
        with self._changed:
            claim = self._owned(token)
            if claim is not None:
                claim.request_stop(StopRequest.AT_ONCE if at_once else StopRequest.AFTER_EPOCH)
                self._changed.notify_all()
            return claim is not None

    def release(self, token: str) -> None:
        """Frees the slot at once; workers in mid-trial first leave the trial at their epoch's end."""
        with self._changed:
            claim = self._owned(token)
            if claim is not None:
                claim.release()
                self._changed.notify_all()

    def heartbeat(self, token: str) -> bool:
        """The owner is alive; False if it has lost the lease."""
        with self._changed:
            return self._owned(token) is not None

    # The workers' side.

    def take(self, group: GroupId, timeout_s: float) -> Assignment | Literal["wait", "close"]:
        """The next trial for an idle group. A new group's first call counts the loss of the group before it."""
        with self._changed:
            if not self._groups.is_of_present_run(group.run):
                return "close"
            self._count(self._groups.ask(group))
            self._changed.wait_for(
                lambda: self._claim.queued or self._dismisses() or group != self._groups.present, max(0.0, timeout_s)
            )
            self._expire()
            if group != self._groups.present:
                return "close"
            if self._dismisses():
                self._groups.answer()
                return "close"
            if not self._claim.queued:
                return "wait"
            self._groups.answer()
            self._groups.met, self._last_put_s = set(), self._clock()
            return self._claim.take()

    def put(self, group: GroupId, epoch: int, metrics: dict[str, float]) -> bool:
        """Takes an epoch's report; True tells the group to leave the trial.

        Answers as soon as the owner asks for the next epoch, so that an early stop decided on this report costs no
        further epoch. Waits for a silent owner no longer than the epoch itself took, `decision_wait_s` at most.
        """
        with self._changed:
            claim = self._claim_of(group)
            if claim is None:
                return True
            took_s = self._clock() - self._last_put_s
            if claim.report(epoch, metrics):
                self._changed.notify_all()
            if epoch < claim.trial.epochs:
                self._changed.wait_for(
                    lambda: bool(claim.stop) or (claim.asking > 0 and not claim.reports),
                    min(took_s, self._decision_wait_s),
                )
            self._expire()
            self._last_put_s = self._clock()
            return bool(claim.stop) or self._claim_of(group) is not claim

    def end(self, group: GroupId, finished: Finished) -> None:
        """The group has left the trial for good."""
        with self._changed:
            claim = self._claim_of(group)
            if claim is not None:
                claim.end(finished)
                self._changed.notify_all()

    def leave(self, group: GroupId) -> None:
        """The group was preempted and has saved its trial. The next group continues it; this is no failure."""
        with self._changed:
            claim = self._claim_of(group)
            if claim is not None:
                claim.pause()
                self._changed.notify_all()

    def must_leave(self, group: GroupId) -> bool:
        """Whether the group has to leave its trial at the next step, with a checkpoint."""
        with self._changed:
            claim = self._claim_of(group)
            stopped = claim is not None and claim.stop is StopRequest.AT_ONCE
            preempted = self._preempted or self._groups.was_preempted(group)
            return preempted or stopped or self._mode.state is Mode.CLOSED

    def agree(self, group: GroupId, rank: int, world_size: int, timeout_s: float) -> bool:
        """Whether every rank of the group calls this within the time: then all ranks raised the error together."""
        with self._changed:
            if group != self._groups.present:
                return False
            met = self._groups.met
            met.add(rank)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: len(met) == world_size, timeout_s)

    def group_lost(self, run: str, failure: Failure) -> None:
        """Why a worker group of a run has just failed; the next group's `take` counts it."""
        with self._changed:
            if self._groups.is_of_present_run(run):
                self._groups.lose(failure)

    # The slot's and the pool's side.

    def run_started(self) -> str | None:
        """Names a new Train run and dismisses the groups of earlier ones; None if the slot is preempted."""
        with self._changed:
            return None if self._preempted else self._groups.start_run()

    def run_failed(self, failure: str, no_room: bool = False) -> None:
        """A Train run ended with an error; the slot starts another one.

        `no_room`: others use what the workers need, or the nodes that offered it are gone. The slot waits for room
        through any number of runs; this never breaks it.
        """
        with self._changed:
            self._groups.fail_run(failure, no_room)
            if self._preempted:
                # No other group comes to count the loss.
                self._count(self._groups.take_loss(preempted=True))

    def preempt_group(self, group: GroupId | None = None) -> None:
        """A group (None: the present one) leaves its trial at the next step, with a checkpoint; the next continues."""
        with self._changed:
            self._groups.preempt(group or self._groups.present)
            self._changed.notify_all()

    def preempt_slot(self) -> None:
        """The slot's own node is about to go: no new lease, no new group; the owner moves its trial to another slot."""
        with self._changed:
            self._preempted = True
            self._changed.notify_all()

    def close(self, drain: bool = False) -> None:
        """Refuses new leases; stops the trial in progress, or with `drain` lets it finish."""
        with self._changed:
            self._mode.fire(ModeEvent.DRAIN if drain else ModeEvent.CLOSE)
            if not drain:
                self._claim.request_stop(StopRequest.AFTER_EPOCH)
                if self._claim.queued:
                    self._claim.end(Finished("stopped"))
            self._changed.notify_all()

    def wait_closing(self, timeout_s: float | None = None) -> bool:
        """Waits until the slot closes or drains; False if the time is over first."""
        with self._changed:
            return self._changed.wait_for(lambda: self.closing, timeout_s)

    def status(self) -> SlotStatus:
        with self._changed:
            self._expire()
            return slot_status(self._claim, self._groups, self._groups_lost, self.closing, self._preempted)

    @property
    def closing(self) -> bool:
        return self._mode.state is not Mode.OPEN

    @property
    def may_restart(self) -> bool:
        """Whether the slot is preempted and no owner is left: its process may end and restart on another node."""
        with self._changed:
            self._expire()
            return self._preempted and self._claim.free

    @property
    def serving_group(self) -> GroupId | None:
        """The worker group that serves; None while one is awaited."""
        with self._changed:
            return self._groups.present if self._groups.serving else None

    @property
    def awaits_group(self) -> bool:
        """Whether the present Train run has brought no worker group yet."""
        with self._changed:
            return self._groups.awaited

    # What follows is called with the lock held.

    def _owned(self, token: str) -> Claim | None:
        """The claim, if the token's owner holds it; notes that the owner is alive."""
        self._expire()
        claim = self._claim
        if not claim.held or claim.token != token:
            return None
        claim.heard_s = self._clock()
        return claim

    def _moves(self, claim: Claim) -> bool:
        """Whether the claim's trial has to go to another slot."""
        return self._preempted and claim.queued

    def _claim_of(self, group: GroupId) -> Claim | None:
        """The claim whose trial the group runs."""
        return self._claim if group == self._groups.present and self._claim.with_workers else None

    def _expire(self) -> None:
        claim = self._claim
        if claim.held and self._clock() - claim.heard_s > self._owner_timeout_s:
            claim.release()
            self._changed.notify_all()

    def _dismisses(self) -> bool:
        """Whether the present group has to leave instead of taking a trial."""
        drained = self._mode.state is Mode.DRAINING and not self._claim.expects_workers
        return self._preempted or self._groups.preempted or drained or self._mode.state is Mode.CLOSED

    def _count(self, loss: Failure | None) -> None:
        """Counts the loss of a worker group against the trial that it was running, if any."""
        if loss is not None and self._claim.with_workers:
            self._groups_lost += 1
            self._claim.lose_workers(loss)
            self._changed.notify_all()
