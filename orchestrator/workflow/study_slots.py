"""Opens a study's slots: as many as its work, its cluster and the other studies there leave to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from orchestrator.errors import PreflightError
from orchestrator.planning.capacity import Capacity, Node
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.nodes import nodes
from orchestrator.ray_cluster.study_board import BoardMember
from orchestrator.slots.autoscaler import autoscaled
from orchestrator.slots.messages import PoolState
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.sharing import NOTHING, Sharing, SlotSize, Work
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker import fit_trial, fit_trial_on_copies
from orchestrator.study.journal import LockLostError
from orchestrator.study.slot_report import Holder, SlotReport, write_slot_report
from orchestrator.study.study import Study
from trainables.errors import StorageError


class StudySlots:
    """The slots of one study, over its stages: `work` says how many it can use now."""

    def __init__(self, study: Study, cluster: Cluster, copies: bool, work: Work) -> None:
        """`copies`: whether the workers read the node's own copies of the data."""
        self._study, self._copies, self.work = study, copies, work
        # Nobody else knows a local cluster, unless another study has joined it and made a board.
        member = BoardMember(create=not cluster.local)
        self._sharing = Sharing(study.spec.name, study.spec.resources, member, lambda: study.journal.state.stage)
        self._report: SlotReport | None = None
        self._note: Callable[[SlotReport], None] = lambda report: None
        self._stepped: Callable[[str], None] = lambda trial: None
        self._forget()

    def follow(self, note: Callable[[SlotReport], None], stepped: Callable[[str], None]) -> None:
        """From now on, `note` gets every change of the slots, and `stepped` each trial that runs."""
        self._note, self._stepped = note, stepped

    @contextmanager
    def pool(self, capacity: Callable[[list[Node]], Capacity], size: SlotSize) -> Iterator[SlotPool]:
        """Opens a pool that follows `capacity(nodes)`; it keeps one slot even if none fits."""

        def shape(state: PoolState) -> tuple[int, ...]:
            alive = nodes()
            try:
                alone = capacity(alive).shape
            except PreflightError:
                # The nodes of the start have left; they may come back.
                return (size.least,)
            return self._sharing.shape(self.work, size, state, alive, alone)

        asked = self._study.spec.resources
        pool = SlotPool(
            shape(NOTHING),
            SlotSpec(
                cpus_per_worker=asked.cpus_per_worker,
                gpus_per_worker=asked.gpus_per_worker,
                # Ray Train's own files need no sharing; with an object store, each slot keeps them on its node.
                storage=self._study.paths.scratch if self._study.storage.bucket is None else None,
                placement="PACK" if asked.placement == "pack" else "SPREAD",
                trials_per_slot=asked.trials_per_slot,
                hang_timeout_s=asked.hang_timeout_s,
                fit=fit_trial_on_copies if self._copies else fit_trial,
            ),
        )
        with pool, autoscaled(pool, shape, lambda state: self._observe(pool, state)):
            yield pool

    def close(self) -> None:
        """Leaves the other studies; the report of the slots ends with them."""
        self._sharing.leave()
        if not self._study.journal.lost:
            self._forget()

    def _forget(self) -> None:
        """Removes the report of the slots, which a killed driver leaves."""
        with suppress(OSError):
            self._study.paths.slot_report.unlink()

    def _observe(self, pool: SlotPool, state: PoolState) -> None:
        for trial in state.stepped:
            # The driver's next line in the journal raises the same error, where it ends the study.
            with suppress(LockLostError, StorageError):
                self._stepped(trial)
        holders = (Holder(other.study, other.owner, other.slots) for other in self._sharing.others if other.slots)
        report = SlotReport(
            serving=state.serving,
            starting=state.starting,
            waiting=state.waiting,
            waits_for=pool.waits_for() if state.waiting else "",
            held_by=tuple(holders) if state.waiting else (),
        )
        if report == self._report:
            return
        with suppress(OSError):
            # It only informs; a full disk ends the study where it keeps its results.
            write_slot_report(self._study.paths.slot_report, report)
        self._report = report
        self._note(report)


@contextmanager
def study_slots(study: Study, cluster: Cluster, copies: bool, work: Work) -> Iterator[StudySlots]:
    """The study's slots; at the end it leaves the other studies of the cluster."""
    slots = StudySlots(study, cluster, copies, work)
    try:
        yield slots
    finally:
        slots.close()
