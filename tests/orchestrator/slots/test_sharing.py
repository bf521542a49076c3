"""Studies that share a cluster through one board: each computes its own slots, and together they fill it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.planning.capacity import imagined, shares
from orchestrator.ray_cluster.study_board import EXPIRE_S, YOUNG_S, BoardMember, BoardView, StudyBoard
from orchestrator.slots.sharing import NO_WORK, NOTHING, Sharing, SlotSize, Work
from search_spaces.sections import Resources

ONE = SlotSize(1, 1)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Wire(BoardMember):
    """A member that reaches the board without Ray, or no board at all."""

    board: StudyBoard | None

    def __init__(self, board: StudyBoard | None) -> None:
        super().__init__(create=True)
        self.board = board

    def exchange(self, report: Mapping[str, Any], timeout_s: float = 1.0) -> BoardView | None:
        if self.board is None:
            return None
        answer = self.board.exchange(self.key, report)
        return BoardView(answer["studies"], answer["age_s"] >= YOUNG_S)

    def leave(self) -> None:
        if self.board is not None:
            self.board.leave(self.key)


class Study:
    """A study whose slots have their workers as soon as it may hold them."""

    def __init__(self, name: str, board: StudyBoard | None, work: Work, size: SlotSize = ONE, **resources: Any) -> None:
        self.member, self.work, self.size = Wire(board), work, size
        self.sharing = Sharing(name, Resources(**resources), self.member, lambda: "searching")
        self.state = NOTHING

    def look(self, cpus: int = 8) -> tuple[int, ...]:
        alone = shares(cpus, self.size.least, self.size.most)
        shape = self.sharing.shape(self.work, self.size, self.state, imagined(f"1x{cpus}x0"), alone)
        self.state = replace(self.state, serving=sum(size > 0 for size in shape), workers=sum(shape))
        return shape


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> StudyBoard:
    found = StudyBoard(clock)
    clock.now_s += YOUNG_S
    return found


def forever() -> Work:
    return Work(lambda: 1000)


def test_two_studies_share_and_the_one_that_stays_takes_all(board: StudyBoard) -> None:
    one = Study("one", board, forever())
    assert one.look() == (1,) * 8
    two = Study("two", board, forever(), share=3.0)
    assert two.look() == (1,) * 6
    assert one.look() == (1,) * 2
    assert [(other.study, other.slots) for other in one.sharing.others] == [("two", 0)], "as it stood at its last look"
    two.look()
    one.look()
    assert [(other.study, other.slots) for other in one.sharing.others] == [("two", 6)]
    two.sharing.leave()
    assert one.look() == (1,) * 8


def test_idle_slots_are_kept_until_another_study_wants_them_and_given_back_at_the_end(board: StudyBoard) -> None:
    one = Study("one", board, Work(lambda: 2, later=6))
    assert one.look() == (1,) * 6, "two trials are left, and warm slots for six finalists"
    two = Study("two", board, forever())
    assert two.look() == (1,) * 6
    assert one.look() == (1,) * 2
    one.work = Work(lambda: 1, final=True)
    assert one.look() == (1,)
    assert two.look() == (1,) * 7
    one.work = NO_WORK
    assert one.look() == (0,)
    assert two.look() == (1,) * 8


def test_more_studies_than_slots_wait_parked_and_a_last_slot_is_not_handed_over(board: StudyBoard) -> None:
    one, two = (Study(name, board, Work(lambda: 1, final=True)) for name in ("one", "two"))
    three = Study("three", board, forever(), priority=5)
    for _ in range(2):
        # The second report says that it has its slot.
        assert [study.look(2) for study in (one, two)] == [(1,), (1,)]
    # Without its last trial and its gate behind it, neither gives up its slot, whatever the priority of the other.
    assert [study.look(2) for study in (three, one, two)] == [(0,), (1,), (1,)]
    one.sharing.leave()
    assert three.look(2) == (1,)


def test_slots_of_two_workers_and_growing_ones_share_too(board: StudyBoard) -> None:
    pairs = Study("pairs", board, forever(), SlotSize(2, 2))
    grows = Study("grows", board, Work(lambda: 1, final=True), SlotSize(1, 8))
    assert (pairs.look(7), grows.look(7)) == ((2, 2, 2), (3,))
    assert (pairs.look(7), grows.look(7)) == ((2, 2), (3,))


def test_without_a_board_a_study_takes_what_it_has_work_for() -> None:
    assert Study("one", None, forever()).look() == (1,) * 8
    assert Study("one", None, Work(lambda: 3)).look() == (1,) * 3
    assert Study("one", None, forever(), max_concurrent=2).look() == (1,) * 2
    assert Study("one", None, NO_WORK).look() == ()


def test_a_board_that_restarts_empty_changes_no_part_until_it_has_heard_of_everybody(
    board: StudyBoard, clock: Clock
) -> None:
    one, two = Study("one", board, forever()), Study("two", board, forever())
    one.look(), two.look()
    assert one.look() == (1,) * 4
    again = StudyBoard(clock)
    one.member.board = two.member.board = again
    assert one.look() == (1,) * 4, "it is the only one on the board so far"
    clock.now_s += YOUNG_S
    two.look()
    assert one.look() == (1,) * 4
    # A new study cannot wait: it takes the board as it is.
    assert Study("three", again, forever()).look() == (1,) * 2


def test_a_silent_study_expires_and_the_last_one_leaves_an_empty_board(board: StudyBoard, clock: Clock) -> None:
    one, two = Study("one", board, forever()), Study("two", board, forever())
    one.look(), two.look()
    clock.now_s += EXPIRE_S / 2
    assert one.look() == (1,) * 4
    clock.now_s += EXPIRE_S / 2 + 1
    assert one.look() == (1,) * 8
    assert not board.leave(two.member.key), "one is there"
    assert board.leave(one.member.key)


def test_another_versions_report_disturbs_nobody(board: StudyBoard) -> None:
    board.exchange("x", {"protocol": 7, "who": "a later version"})
    board.exchange("y", {"study": "y", "least": "two"})
    assert Study("one", board, forever()).look() == (1,) * 8
