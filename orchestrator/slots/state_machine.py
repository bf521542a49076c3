"""The states of a slot, and the tables of their transitions.

A slot is three small state machines side by side. Its *claim* follows one owner and its trial, its *workers* follow the
worker group, and its *mode* says whether it still takes trials. Any combination can occur: a claim waits through the
loss of a worker group, and a closed slot still finishes its trial.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar


class ClaimState(Enum):
    """One owner's claim on the slot, and the trial in it."""

    FREE = "free"
    """No owner."""
    HELD = "held"
    """An owner, which has not assigned its trial yet."""
    QUEUED = "queued"
    """The trial waits for a worker group."""
    RUNNING = "running"
    """A worker group trains the trial."""
    ENDED = "ended"
    """The trial is over; the owner still has to read the end and to release the slot."""
    LEAVING = "leaving"
    """The owner is gone; the worker group leaves the trial at its epoch's end."""


class ClaimEvent(Enum):
    """What happens to a claim."""

    LEASE = "lease"
    """An owner leases the slot."""
    ASSIGN = "assign"
    """The owner assigns its trial."""
    TAKE = "take"
    """A worker group takes the trial."""
    REQUEUE = "requeue"
    """The worker group was preempted or lost; the next one continues the trial."""
    END = "end"
    """The trial completed, stopped or failed."""
    RELEASE = "release"
    """The owner releases the slot, falls silent, or moves its trial to another slot."""


class WorkersState(Enum):
    """The worker group, as seen through its calls."""

    STARTING = "starting"
    """No worker group serves; the first one, or a replacement, is awaited."""
    IDLE = "idle"
    """The worker group waits for a trial."""
    BUSY = "busy"
    """The worker group is in a trial, or on its way out."""
    BROKEN = "broken"
    """Several Train runs in a row failed before a worker group came; the slot keeps trying."""


class WorkersEvent(Enum):
    """What happens to the worker group."""

    ASK = "ask"
    """It asks for a trial."""
    ANSWER = "answer"
    """It gets a trial, or is dismissed."""
    LOSE = "lose"
    """It is lost, or its Train run is over."""
    GIVE_UP = "give up"
    """Its Train run failed, as several before it."""


class Mode(Enum):
    """Whether the slot takes trials."""

    OPEN = "open"
    """It takes one trial after another."""
    DRAINING = "draining"
    """It takes no further trial and finishes the present one."""
    CLOSED = "closed"
    """It takes no further trial and stops the present one."""


class ModeEvent(Enum):
    """What the pool asks of the slot."""

    DRAIN = "drain"
    """Finish the present trial, then end."""
    CLOSE = "close"
    """Stop the present trial, then end."""


CLAIM: Mapping[tuple[ClaimState, ClaimEvent], ClaimState] = {
    (ClaimState.FREE, ClaimEvent.LEASE): ClaimState.HELD,
    (ClaimState.HELD, ClaimEvent.ASSIGN): ClaimState.QUEUED,
    (ClaimState.HELD, ClaimEvent.RELEASE): ClaimState.FREE,
    (ClaimState.QUEUED, ClaimEvent.TAKE): ClaimState.RUNNING,
    (ClaimState.QUEUED, ClaimEvent.END): ClaimState.ENDED,
    (ClaimState.QUEUED, ClaimEvent.RELEASE): ClaimState.FREE,
    (ClaimState.RUNNING, ClaimEvent.REQUEUE): ClaimState.QUEUED,
    (ClaimState.RUNNING, ClaimEvent.END): ClaimState.ENDED,
    (ClaimState.RUNNING, ClaimEvent.RELEASE): ClaimState.LEAVING,
    (ClaimState.ENDED, ClaimEvent.RELEASE): ClaimState.FREE,
    (ClaimState.LEAVING, ClaimEvent.END): ClaimState.FREE,
}
WORKERS: Mapping[tuple[WorkersState, WorkersEvent], WorkersState] = {
    (WorkersState.STARTING, WorkersEvent.ASK): WorkersState.IDLE,
    (WorkersState.STARTING, WorkersEvent.LOSE): WorkersState.STARTING,
    (WorkersState.STARTING, WorkersEvent.GIVE_UP): WorkersState.BROKEN,
    (WorkersState.IDLE, WorkersEvent.ASK): WorkersState.IDLE,
    (WorkersState.IDLE, WorkersEvent.ANSWER): WorkersState.BUSY,
    (WorkersState.IDLE, WorkersEvent.LOSE): WorkersState.STARTING,
    (WorkersState.BUSY, WorkersEvent.ASK): WorkersState.IDLE,
    (WorkersState.BUSY, WorkersEvent.LOSE): WorkersState.STARTING,
    (WorkersState.BROKEN, WorkersEvent.ASK): WorkersState.IDLE,
    (WorkersState.BROKEN, WorkersEvent.LOSE): WorkersState.BROKEN,
    (WorkersState.BROKEN, WorkersEvent.GIVE_UP): WorkersState.BROKEN,
}
MODE: Mapping[tuple[Mode, ModeEvent], Mode] = {
    (Mode.OPEN, ModeEvent.DRAIN): Mode.DRAINING,
    (Mode.OPEN, ModeEvent.CLOSE): Mode.CLOSED,
    (Mode.DRAINING, ModeEvent.DRAIN): Mode.DRAINING,
    (Mode.DRAINING, ModeEvent.CLOSE): Mode.CLOSED,
    (Mode.CLOSED, ModeEvent.DRAIN): Mode.CLOSED,
    (Mode.CLOSED, ModeEvent.CLOSE): Mode.CLOSED,
}

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


class StateMachine(Generic[S, E]):
    """One present state, which changes only as its table says. Not thread-safe."""

    def __init__(self, table: Mapping[tuple[S, E], S], state: S) -> None:
        self._table, self._state = table, state

    @property
    def state(self) -> S:
        return self._state

    def allows(self, event: E) -> bool:
        """Whether the table lists the event in the present state; callers ignore an event that it does not list."""
        return (self._state, event) in self._table

    def fire(self, event: E) -> None:
        """Moves to the next state. An event that the table does not list is a bug of the caller."""
        assert self.allows(event), f"{self._state} has no transition for {event}"
        self._state = self._table[self._state, event]
