"""One owner's claim on a slot: its trial, the reports that wait for the owner, and the trial's end."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from orchestrator.slots.failures import Failure, decide
from orchestrator.slots.messages import Assignment, EpochResult, Finished
from orchestrator.slots.state_machine import CLAIM, ClaimEvent, ClaimState, StateMachine


class StopRequest(IntEnum):
    """How soon the trial has to stop."""

    NO = 0
    AFTER_EPOCH = 1
    AT_ONCE = 2
    """At the next step, with a checkpoint of it."""


@dataclass
class Claim:
    """A claim from lease to release. Not thread-safe: the slot's state calls it with its lock held."""

    token: str = ""
    owner: str = ""
    heard_s: float = 0.0
    """When the owner was last heard from."""
    assignment: Assignment | None = None
    stop: StopRequest = StopRequest.NO
    passed: int = 0
    """The last epoch passed on to the owner."""
    failures: tuple[Failure, ...] = ()
    asking: int = 0
    """Calls of the owner that wait for an epoch."""
    reports: deque[EpochResult] = field(default_factory=deque)
    """Epochs that the owner has not read yet."""
    finished: Finished | None = None
    _machine: StateMachine[ClaimState, ClaimEvent] = field(
        default_factory=lambda: StateMachine(CLAIM, ClaimState.FREE), init=False, repr=False
    )

    @property
    def state(self) -> ClaimState:
        return self._machine.state

    @property
    def free(self) -> bool:
        return self.state is ClaimState.FREE

    @property
    def held(self) -> bool:
        """Whether an owner holds the slot, as opposed to one that is gone."""
        return self.state not in (ClaimState.FREE, ClaimState.LEAVING)

    @property
    def queued(self) -> bool:
        """Whether the trial waits for a worker group."""
        return self.state is ClaimState.QUEUED

    @property
    def expects_workers(self) -> bool:
        """Whether the trial waits for a worker group, or an owner is about to assign it."""
        return self.state in (ClaimState.HELD, ClaimState.QUEUED)

    @property
    def with_workers(self) -> bool:
        """Whether a worker group is in the trial."""
        return self.state in (ClaimState.RUNNING, ClaimState.LEAVING)

    @property
    def has_news(self) -> bool:
        """Whether the owner's call for the next epoch can be answered: with an epoch, the end, or the lease's loss."""
        return bool(self.reports) or self.finished is not None or self.free

    @property
    def trial(self) -> Assignment:
        assert self.assignment is not None, "a claim has its trial from ASSIGN on"
        return self.assignment

    def lease(self) -> None:
        self._machine.fire(ClaimEvent.LEASE)

    def assign(self, assignment: Assignment) -> bool:
        """Sets the trial; ignored where there is one already, as a call may be repeated."""
        if not self._machine.allows(ClaimEvent.ASSIGN):
            return False
        self._machine.fire(ClaimEvent.ASSIGN)
        self.assignment, self.passed, self.failures = assignment, assignment.epochs_known, assignment.failures
        return True

    def take(self) -> Assignment:
        """The trial as it stands now, for a worker group."""
        self._machine.fire(ClaimEvent.TAKE)
        return replace(self.trial, epochs_known=self.passed, failures=self.failures)

    def report(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Queues an epoch for the owner; ignores one that was passed on before, as a new group may repeat it."""
        if epoch <= self.passed:
            return False
        self.passed = epoch
        self.reports.append(EpochResult(epoch, dict(metrics), self.failures))
        return True

    def request_stop(self, stop: StopRequest) -> None:
        """Asks the workers to stop; a later request can only make it sooner."""
        self.stop = max(self.stop, stop)

    def pause(self) -> None:
        """Its workers have saved the trial and left it: the trial is queued again, or ends if it was to stop."""
        if self.stop:
            self.end(Finished("stopped"))
        else:
            self._machine.fire(ClaimEvent.REQUEUE)

    def lose_workers(self, loss: Failure) -> None:
        """Adds the loss to the trial's failures; the trial is queued again, or ends if it may not be retried."""
        self.failures = (*self.failures, loss._replace(epoch=self.passed))
        verdict = decide(self.failures, self.trial.max_failures)
        if self.stop:
            self.end(Finished("stopped"))
        elif verdict.retry:
            self._machine.fire(ClaimEvent.REQUEUE)
        else:
            self.end(Finished("failed", verdict.reason, verdict.kind))

    def end(self, finished: Finished) -> None:
        self._machine.fire(ClaimEvent.END)
        self.finished = finished

    def release(self) -> None:
        """The owner is gone. Workers in mid-trial leave at their epoch's end, and then the claim is free."""
        self.request_stop(StopRequest.AFTER_EPOCH)
        self._machine.fire(ClaimEvent.RELEASE)
