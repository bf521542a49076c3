"""What a slot shows of itself: its states as one word, beside its trial, its workers and its last failure."""

from orchestrator.slots.claim import Claim
from orchestrator.slots.messages import SlotStatus, StatusState
from orchestrator.slots.state_machine import WorkersState
from orchestrator.slots.worker_groups import WorkerGroups


def slot_status(claim: Claim, groups: WorkerGroups, groups_lost: int, closing: bool, preempted: bool) -> SlotStatus:
    """The status, without the number of workers, which the slot itself adds."""
    assignment = None if claim.free else claim.assignment
    return SlotStatus(
        state=_state(claim, groups, closing, preempted),
        trial=assignment.trial if assignment is not None else None,
        epoch=0 if claim.free else claim.passed,
        failure=groups.failure,
        serving=groups.serving,
        groups_lost=groups_lost,
        no_room=groups.no_room,
    )


def _state(claim: Claim, groups: WorkerGroups, closing: bool, preempted: bool) -> StatusState:
    if closing:
        return "closed"
    if not claim.free:
        return "leased" if claim.held else "leaving"
    if groups.state is WorkersState.IDLE and not preempted:
        return "idle"
    return "broken" if groups.state is WorkersState.BROKEN else "starting"
