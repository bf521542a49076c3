"""The transition tables of a slot: every state is reachable, the slot's methods take every transition, and no other."""

import random
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from orchestrator.slots.failures import Failure
from orchestrator.slots.messages import Assignment, Finished, GroupId
from orchestrator.slots.slot_state import SlotState
from orchestrator.slots.state_machine import (
    CLAIM,
    MODE,
    WORKERS,
    ClaimEvent,
    ClaimState,
    Mode,
    ModeEvent,
    StateMachine,
    WorkersEvent,
    WorkersState,
)
from trainables.checkpoints.folder_store import FolderStore

OWNER_TIMEOUT_S = 10.0
TABLES: tuple[tuple[Mapping[Any, Any], Enum], ...] = (
    (CLAIM, ClaimState.FREE),
    (WORKERS, WorkersState.STARTING),
    (MODE, Mode.OPEN),
)
ROWS = {row for table, _ in TABLES for row in table}


class Parties:
    """A slot with one owner, two worker groups and a pool; each method is one call of one of them."""

    def __init__(self) -> None:
        self.now_s, self._numbers = 0.0, count()
        self.slot = SlotState(owner_timeout_s=OWNER_TIMEOUT_S, decision_wait_s=0, clock=lambda: self.now_s)
        self.token, self.group, self.former_group = "", GroupId("none", "0"), GroupId("none", "0")
        self.preempted = False

    def run(self) -> None:
        run = self.slot.run_started()
        if run is not None:
            self.former_group, self.group = self.group, GroupId(run, str(next(self._numbers)))

    def next_group(self) -> None:
        self.former_group, self.group = self.group, GroupId(self.group.run, str(next(self._numbers)))

    def ask(self) -> None:
        self.slot.take(self.group, 0)

    def lease(self) -> None:
        self.token = self.slot.lease(f"owner {next(self._numbers)}") or self.token

    def assign(self) -> None:
        self.slot.start(
            self.token,
            Assignment(trial="t", config={"epochs": 9}, checkpoints=FolderStore(Path("t")), data_root=Path("d")),
        )

    def report(self) -> None:
        self.slot.put(self.group, next(self._numbers), {})

    def end(self) -> None:
        self.slot.end(self.group, Finished("completed"))

    def pause(self) -> None:
        self.slot.leave(self.group)

    def agree(self) -> None:
        self.slot.agree(self.group, 0, 2, 0)

    def lose(self) -> None:
        self.slot.group_lost(self.group.run, Failure("crash", "killed"))

    def fail(self) -> None:
        self.slot.run_failed("no controller")

    def find_no_room(self) -> None:
        self.slot.run_failed("no room", no_room=True)

    def read(self) -> None:
        self.slot.next(self.token, 0)

    def stop(self) -> None:
        self.slot.stop(self.token)

    def stop_at_once(self) -> None:
        self.slot.stop(self.token, at_once=True)

    def release(self) -> None:
        self.slot.release(self.token)

    def fall_silent(self) -> None:
        self.now_s += OWNER_TIMEOUT_S + 1
        self.slot.status()

    def former_group_calls(self) -> None:
        self.slot.take(self.former_group, 0)
        self.slot.put(self.former_group, 1, {})
        self.slot.leave(self.former_group)
        self.slot.end(self.former_group, Finished("completed"))
        self.slot.must_leave(self.former_group)

    def preempt_group(self) -> None:
        self.slot.preempt_group()

    def preempt_slot(self) -> None:
        self.preempted = True
        self.slot.preempt_slot()

    def drain(self) -> None:
        self.slot.close(drain=True)

    def close(self) -> None:
        self.slot.close()


IDLE, RUNNING = "run ask", "run ask lease assign ask"
BROKEN = "run fail fail fail"
ROUTES: dict[tuple[Enum, Enum], str] = {
    (ClaimState.FREE, ClaimEvent.LEASE): f"{IDLE} lease",
    (ClaimState.HELD, ClaimEvent.ASSIGN): f"{IDLE} lease assign",
    (ClaimState.HELD, ClaimEvent.RELEASE): f"{IDLE} lease release",
    (ClaimState.QUEUED, ClaimEvent.TAKE): RUNNING,
    (ClaimState.QUEUED, ClaimEvent.END): f"{IDLE} lease assign close",
    (ClaimState.QUEUED, ClaimEvent.RELEASE): f"{IDLE} lease assign preempt_slot read",
    (ClaimState.RUNNING, ClaimEvent.REQUEUE): f"{RUNNING} preempt_group pause",
    (ClaimState.RUNNING, ClaimEvent.END): f"{RUNNING} end",
    (ClaimState.RUNNING, ClaimEvent.RELEASE): f"{RUNNING} fall_silent",
    (ClaimState.ENDED, ClaimEvent.RELEASE): f"{RUNNING} end release",
    (ClaimState.LEAVING, ClaimEvent.END): f"{RUNNING} release end",
    (WorkersState.STARTING, WorkersEvent.ASK): IDLE,
    (WorkersState.STARTING, WorkersEvent.LOSE): "run",
    (WorkersState.STARTING, WorkersEvent.GIVE_UP): BROKEN,
    (WorkersState.IDLE, WorkersEvent.ASK): f"{IDLE} next_group ask",
    (WorkersState.IDLE, WorkersEvent.ANSWER): RUNNING,
    (WorkersState.IDLE, WorkersEvent.LOSE): f"{IDLE} lose",
    (WorkersState.BUSY, WorkersEvent.ASK): f"{RUNNING} end ask",
    (WorkersState.BUSY, WorkersEvent.LOSE): f"{RUNNING} fail",
    (WorkersState.BROKEN, WorkersEvent.ASK): f"{BROKEN} ask",
    (WorkersState.BROKEN, WorkersEvent.LOSE): f"{BROKEN} run",
    (WorkersState.BROKEN, WorkersEvent.GIVE_UP): f"{BROKEN} fail",
    (Mode.OPEN, ModeEvent.DRAIN): "drain",
    (Mode.OPEN, ModeEvent.CLOSE): "close",
    (Mode.DRAINING, ModeEvent.DRAIN): "drain drain",
    (Mode.DRAINING, ModeEvent.CLOSE): "drain close",
    (Mode.CLOSED, ModeEvent.DRAIN): "close drain",
    (Mode.CLOSED, ModeEvent.CLOSE): "close close",
}
RARE = {"drain", "close", "preempt_slot"}
"""Steps that nothing undoes."""
STEPS = [name for name in vars(Parties) if not name.startswith("_")]


@pytest.fixture
def fired(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Enum, Enum]]:
    """Every transition since the test began, as (state, event)."""
    found: list[tuple[Enum, Enum]] = []
    fire = StateMachine.fire

    def recorded(self: StateMachine[Any, Any], event: Enum) -> None:
        found.append((self.state, event))
        fire(self, event)

    monkeypatch.setattr(StateMachine, "fire", recorded)
    return found


@pytest.mark.parametrize(("table", "first"), TABLES)
def test_every_state_is_reachable_from_the_first(table: Mapping[Any, Any], first: Enum) -> None:
    reached, before = {first}, set[Enum]()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), after in table.items() if state in before}
    assert reached == set(type(first))


def test_an_event_that_the_table_does_not_list_changes_nothing() -> None:
    machine = StateMachine(CLAIM, ClaimState.FREE)
    assert not machine.allows(ClaimEvent.END)
    with pytest.raises(AssertionError, match="no transition"):
        machine.fire(ClaimEvent.END)
    assert machine.state is ClaimState.FREE


def test_every_transition_has_a_route() -> None:
    assert set(ROUTES) == ROWS


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row[0].value}-{row[1].value}")
def test_the_slots_methods_take_every_transition(row: tuple[Enum, Enum], fired: list[tuple[Enum, Enum]]) -> None:
    parties, (*before, last) = Parties(), ROUTES[row].split()
    for name in before:
        getattr(parties, name)()
    fired.clear()
    getattr(parties, last)()
    assert row in fired


def shown(claim: ClaimState, workers: WorkersState, mode: Mode, preempted: bool) -> str:
    """The status word of a combination of states."""
    if mode is not Mode.OPEN:
        return "closed"
    if claim is not ClaimState.FREE:
        return "leaving" if claim is ClaimState.LEAVING else "leased"
    if workers is WorkersState.BUSY or (workers is WorkersState.IDLE and preempted):
        return "starting"
    return workers.value


def test_calls_in_any_order_take_only_listed_transitions(fired: list[tuple[Enum, Enum]]) -> None:
    """An event without a listed transition would raise; a state that changed by itself would show another status."""
    draw, seen = random.Random(0), set[tuple[Enum, Enum]]()
    weights = [0.05 if name in RARE else 1.0 for name in STEPS]
    for _ in range(500):
        parties, present = Parties(), {type(first): first for _, first in TABLES}
        for name in draw.choices(STEPS, weights, k=100):
            fired.clear()
            step: Callable[[], None] = getattr(parties, name)
            step()
            status = parties.slot.status()
            for state, event in fired:
                assert present[type(state)] is state, f"{state} came about without a transition"
                present[type(state)] = next(table[state, event] for table, _ in TABLES if (state, event) in table)
            seen |= set(fired)
            claim, workers, mode = present.values()
            assert status.state == shown(claim, workers, mode, parties.preempted)  # type: ignore[arg-type]
            assert status.serving == (workers in (WorkersState.IDLE, WorkersState.BUSY))
    assert seen == ROWS
