"""The worker groups of a slot, one after another: which is present, whether it serves, why the last one was lost."""

import uuid

from orchestrator.slots.failures import Failure
from orchestrator.slots.messages import GroupId
from orchestrator.slots.state_machine import WORKERS, StateMachine, WorkersEvent, WorkersState

FAILED_RUNS = 3
"""Train runs that fail in a row, without a worker group, before the slot counts as broken. A call that the network
dropped fails one run, but hardly three."""


class WorkerGroups:
    """Not thread-safe: the slot's state calls it with its lock held."""

    def __init__(self) -> None:
        self._machine = StateMachine(WORKERS, WorkersState.STARTING)
        self._run: str | None = None
        self.present: GroupId | None = None
        """The present group, or the last one until the next one calls."""
        self._preempted: GroupId | None = None
        self.failure = ""
        """Why the last worker group or Train run was lost."""
        self._loss: Failure | None = None
        """Why the present group was lost, until `take_loss`. The first reason given is kept."""
        self._failed_runs = 0
        self.no_room = ""
        """What the workers wait for, if the last Train run found no room for them."""
        self.met: set[int] = set()
        """Ranks of the present group that met over an error."""

    @property
    def state(self) -> WorkersState:
        return self._machine.state

    @property
    def serving(self) -> bool:
        return self.state in (WorkersState.IDLE, WorkersState.BUSY)

    @property
    def awaited(self) -> bool:
        """Whether the present Train run has brought no worker group yet."""
        return self._run is not None and (self.present is None or self.present.run != self._run)

    @property
    def preempted(self) -> bool:
        """Whether the present group was asked to leave."""
        return self.present is not None and self.present == self._preempted

    def was_preempted(self, group: GroupId) -> bool:
        return group == self._preempted

    def is_of_present_run(self, run: str) -> bool:
        return run == self._run

    def start_run(self) -> str:
        """Names a new Train run."""
        self._run = uuid.uuid4().hex
        self._machine.fire(WorkersEvent.LOSE)
        return self._run

    def ask(self, group: GroupId) -> Failure | None:
        """A group of the present run asks for a trial; for a new group, returns the loss of the group before it."""
        loss = None
        if group != self.present:
            loss, self.present = self.take_loss(self.preempted), group
        self._failed_runs, self.no_room = 0, ""
        self._machine.fire(WorkersEvent.ASK)
        return loss

    def answer(self) -> None:
        """The present group gets a trial, or is dismissed; ignored if it was lost since it asked."""
        if self._machine.allows(WorkersEvent.ANSWER):
            self._machine.fire(WorkersEvent.ANSWER)

    def preempt(self, group: GroupId | None) -> None:
        """Asks a group to leave; a group that came after it stays."""
        self._preempted = group

    def lose(self, failure: Failure) -> None:
        self._machine.fire(WorkersEvent.LOSE)
        self._note(failure)

    def fail_run(self, failure: str, no_room: bool) -> None:
        """The Train run ended with an error; `no_room`: it found no room for workers, which never breaks the slot."""
        self._failed_runs += not no_room
        self._machine.fire(WorkersEvent.GIVE_UP if self._failed_runs >= FAILED_RUNS else WorkersEvent.LOSE)
        self.no_room = failure if no_room else ""
        self._note(Failure("slot_lost", failure))
        self.failure = failure

    def take_loss(self, preempted: bool) -> Failure:
        """Why the last group was lost, once: the next loss has a reason of its own."""
        self.met = set()
        loss, self._loss = self._loss or Failure("crash", "its worker group died"), None
        if preempted:
            return Failure("preempted", f"its node was preempted before the workers had left it ({loss.text})")
        return loss

    def _note(self, failure: Failure) -> None:
        self._loss = self._loss or failure
        self.failure = self._loss.text
