"""The board as an actor of a real cluster."""

import time
from collections.abc import Iterator

import pytest
import ray

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.study_board import BOARD, NAMESPACE, START_S, BoardMember, BoardView, read_board

pytestmark = pytest.mark.ray
WAIT_S = 60


@pytest.fixture
def member(cluster: Cluster) -> Iterator[BoardMember]:
    found = BoardMember(create=True)
    yield found
    found.leave()


def reported(member: BoardMember, study: str) -> BoardView:
    """The board after a report that it has taken."""
    deadline_s = time.monotonic() + WAIT_S
    while (view := member.exchange({"study": study}, START_S)) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    return view


def test_a_killed_board_comes_back_and_is_filled_by_the_next_report(member: BoardMember) -> None:
    other = BoardMember(create=False)
    assert read_board() == {}
    assert other.exchange({"study": "other"}) is None, "a study on its own cluster joins a board, but makes none"
    assert reported(member, "one").reports[member.key]["study"] == "one"
    assert set(reported(other, "other").reports) == {member.key, other.key}
    ray.kill(ray.get_actor(BOARD, namespace=NAMESPACE), no_restart=False)
    deadline_s = time.monotonic() + WAIT_S
    while member.key in (view := reported(other, "other")).reports:
        # The kill is on its way.
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert set(view.reports) == {other.key}
    assert not view.complete, "it has not heard of everybody yet"
    assert set(reported(member, "one").reports) == {member.key, other.key}
    other.leave()
    assert set(read_board()) == {member.key}
    member.leave()
    deadline_s = time.monotonic() + WAIT_S
    while read_board():
        assert time.monotonic() < deadline_s
    with pytest.raises(ValueError, match="look up actor"):
        ray.get_actor(BOARD, namespace=NAMESPACE)
