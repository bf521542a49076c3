"""One study's part of a cluster: reports what the study has and wants, and computes the slots that it may hold now."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.planning.capacity import Node, shares
from orchestrator.planning.fair_share import divide
from orchestrator.planning.study_report import StudyReport
from orchestrator.process.owner import owner
from orchestrator.ray_cluster.study_board import ANSWER_S, START_S, BoardMember
from orchestrator.slots.messages import PoolState
from search_spaces.sections import Resources


@dataclass(frozen=True)
class Work:
    """How many slots a study can use."""

    now: Callable[[], int]
    """Trials that have not ended; 0 once the study needs no slot any more."""
    later: int = 0
    """Trials of the next stage; their slots stay warm where no other study wants the room."""
    final: bool = False
    """Whether nothing but the gate comes after these trials: the study keeps its last slot for it."""


@dataclass(frozen=True)
class SlotSize:
    """The workers of a slot."""

    least: int
    most: int
    """More than `least` for a slot that takes as many as there are."""


NO_WORK = Work(lambda: 0)
NOTHING = PoolState(serving=0, workers=0, waiting=0, starting=0, stepped=frozenset())


class Sharing:
    """Called from one thread at a time."""

    def __init__(self, study: str, resources: Resources, member: BoardMember, stage: Callable[[], str]) -> None:
        self._study, self._resources, self._member, self._stage = study, resources, member, stage
        self._owner, self._since_s = owner(), time.time()
        self._served_s = time.monotonic()
        self._part: int | None = None
        self._asked = False
        self.others: tuple[StudyReport, ...] = ()
        """The other studies of the cluster at the last look."""

    def shape(
        self, work: Work, size: SlotSize, state: PoolState, nodes: Sequence[Node], alone: Sequence[int]
    ) -> tuple[int, ...]:
        """The workers of each slot that the study may hold now; a single 0 while other studies have the turn.

        `alone`: the slots that the cluster has for this study if it has all of it. They are what the study takes, as
        far as it has work, where no board answers.
        """
        now, useful = self._slots(work)
        report = self._report(now, useful, size, state, work.final)
        # The first answer decides how many slots start, and the board itself may have to start for it.
        view = self._member.exchange(report.to_json(), ANSWER_S if self._asked else START_S)
        self._asked = True
        if view is None:
            self._part, self.others = None, ()
            return tuple(alone[:useful])
        reports = {key: found for key, one in view.reports.items() if (found := StudyReport.read(one)) is not None}
        reports[self._member.key] = report
        self.others = tuple(found for key, found in sorted(reports.items()) if key != self._member.key)
        if self._part is None or view.complete:
            # A board that has just restarted has not heard of everybody yet: the part stays what it was.
            parts = divide(nodes, [found.demand(key) for key, found in reports.items()])
            self._part = parts[self._member.key]
        return shares(self._part, size.least, size.most)[:useful] or (0,)

    def leave(self) -> None:
        self._member.leave()

    def _slots(self, work: Work) -> tuple[int, int]:
        """Slots that have work now, and slots that are useful."""
        limit, now = self._resources.max_concurrent, work.now()
        useful = max(now, work.later)
        return (now, useful) if limit is None else (min(now, limit), min(useful, limit))

    def _report(self, now: int, useful: int, size: SlotSize, state: PoolState, final: bool) -> StudyReport:
        if state.serving:
            self._served_s = time.monotonic()
        return StudyReport(
            study=self._study,
            owner=self._owner,
            stage=self._stage(),
            since_s=self._since_s,
            cpus_per_worker=self._resources.cpus_per_worker,
            gpus_per_worker=self._resources.gpus_per_worker,
            least=size.least,
            step=size.least if size.least == size.most else 1,
            wanted=now * size.most,
            useful=useful * size.most,
            priority=self._resources.priority,
            share=self._resources.share,
            slots=state.serving,
            workers=state.workers,
            starting=state.starting,
            waiting=state.waiting,
            keeps=final and now == 1 and state.serving > 0,
            waited_s=0.0 if state.serving else time.monotonic() - self._served_s,
        )
