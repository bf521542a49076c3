"""When a worker group counts as hung, with a test clock."""

import pytest

from orchestrator.slots.hang_detector import LEAST_S, PAUSES, SILENT_S, START_S, HangDetector, RankProgress
from orchestrator.slots.messages import GroupId

GROUP, ANOTHER = GroupId("run", "first"), GroupId("run", "another")


class Watched:
    """A detector that is asked every second, and ranks that send a heartbeat every second."""

    def __init__(self, hang_timeout_s: float | None = None, world_size: int = 1) -> None:
        self.now_s = 0.0
        self.detector = HangDetector(hang_timeout_s, lambda: self.now_s)
        self.done, self.epochs, self.world_size = [0] * world_size, [1] * world_size, world_size

    def goes_on(self, seconds: int, working: set[int], heard: set[int] | None = None) -> str | None:
        """Lets time pass; the first finding of the detector."""
        for _ in range(seconds):
            self.now_s += 1
            for rank in range(self.world_size):
                self.done[rank] += rank in working
                if heard is None or rank in heard:
                    self.detector.heartbeat(
                        GROUP, RankProgress(rank, self.world_size, self.done[rank], self.epochs[rank])
                    )
            if (said := self.detector.stuck(1.0)) is not None:
                return said
        return None

    def steps(self, epochs: int, pause_s: int) -> None:
        """Three steps after `epochs` epochs, each after a pause."""
        self.epochs = [epochs] * self.world_size
        for _ in range(3):
            assert self.goes_on(pause_s - 1, working=set()) is None
            assert self.goes_on(1, working=set(range(self.world_size))) is None


def test_ranks_that_make_progress_are_left_alone() -> None:
    watched = Watched(hang_timeout_s=10, world_size=2)
    assert watched.goes_on(1000, working={0, 1}) is None


def test_a_rank_that_stands_still_is_named_whatever_heartbeats_it_sends() -> None:
    watched = Watched(hang_timeout_s=10, world_size=2)
    assert watched.goes_on(50, working={0, 1}) is None
    assert watched.goes_on(9, working={0}) is None
    said = watched.goes_on(3, working={0}) or ""
    assert said.startswith("rank 1 made no progress for 11 s (allowed: 10 s)")


def test_the_rank_that_stood_still_first_is_named_when_the_others_wait_for_it() -> None:
    watched = Watched(hang_timeout_s=10, world_size=2)
    assert watched.goes_on(5, working={0, 1}) is None
    assert watched.goes_on(3, working={0}) is None
    assert (watched.goes_on(20, working=set()) or "").startswith("rank 1 ")


def test_a_rank_without_heartbeats_is_stuck_long_before_a_step_may_end() -> None:
    watched = Watched(world_size=2)
    assert watched.goes_on(int(SILENT_S), working={0, 1}) is None
    said = watched.goes_on(int(SILENT_S) + 2, working={0}, heard={0}) or ""
    assert said.startswith("rank 1 sent no heartbeat")


def test_a_rank_that_never_sends_a_heartbeat_is_missed_but_has_time_to_begin() -> None:
    watched = Watched(hang_timeout_s=10, world_size=2)
    assert watched.goes_on(int(SILENT_S), working={0}, heard={0}) is None
    assert (watched.goes_on(int(SILENT_S) + 2, working={0}, heard={0}) or "").startswith("rank 1 sent no heartbeat")


@pytest.mark.parametrize("hang_timeout_s", [None, 10])
def test_before_the_first_epoch_nothing_is_known_of_the_steps(hang_timeout_s: float | None) -> None:
    watched = Watched(hang_timeout_s)
    watched.epochs = [0]
    assert watched.goes_on(int(START_S), working=set()) is None
    assert watched.goes_on(3, working=set()) is not None


@pytest.mark.parametrize(("pause_s", "limit_s"), [(1, LEAST_S), (30, 30 * PAUSES)])
def test_after_the_second_the_limit_follows_the_longest_pause_since_the_first(pause_s: int, limit_s: float) -> None:
    watched = Watched()
    for epochs, seconds in ((0, 400), (0, 2), (1, 2), (1, pause_s)):
        watched.steps(epochs, seconds)
    assert watched.detector.limit_s == max(START_S, pause_s * PAUSES)
    watched.steps(2, 2)
    assert watched.detector.limit_s == limit_s, "400 s before the first step say nothing of the steps"
    assert watched.goes_on(int(limit_s), working=set()) is None
    assert watched.goes_on(3, working=set()) is not None


def test_the_next_trial_has_pauses_of_its_own() -> None:
    watched = Watched()
    for epochs in (0, 1, 2):
        watched.steps(epochs, 50)
    assert watched.detector.limit_s == 50 * PAUSES
    for epochs in (0, 1, 2):
        watched.steps(epochs, 2)
    assert watched.detector.limit_s == LEAST_S


def test_the_next_group_is_watched_afresh() -> None:
    watched = Watched(hang_timeout_s=10)
    assert watched.goes_on(9, working=set()) is None
    watched.detector.heartbeat(ANOTHER, RankProgress(0, 1, 0, 0))
    watched.now_s += 8
    assert watched.detector.stuck(1.0) is None
    assert watched.detector.group == ANOTHER


def test_time_in_which_the_detector_itself_stood_still_is_not_counted() -> None:
    watched = Watched(hang_timeout_s=10)
    assert watched.goes_on(5, working={0}) is None
    watched.now_s += 3600
    assert watched.detector.stuck(1.0) is None, "a suspended machine wakes up"
    assert watched.goes_on(9, working=set()) is None
    assert watched.goes_on(3, working=set()) is not None
