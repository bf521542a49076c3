"""The session of a running study: cluster, study folder, slots and record."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from orchestrator.checks.storage import check_storage
from orchestrator.checks.storage_probe import needed_data
from orchestrator.cleanup.collect import remove_leftovers
from orchestrator.errors import PreflightError
from orchestrator.finalists.fixed_trials import PlannedTrial, run_trials
from orchestrator.monitoring.study_metrics import monitored
from orchestrator.planning.capacity import Capacity
from orchestrator.planning.plan import capacity_for, check_capacity, retrain_capacity_for
from orchestrator.planning.trials import resolve_trial
from orchestrator.process.code_version import provenance
from orchestrator.process.machine import is_local_disk
from orchestrator.process.signals import Interruption, interruptible
from orchestrator.ray_cluster.connection import connect
from orchestrator.ray_cluster.local_cluster import StartCancelledError
from orchestrator.ray_cluster.nodes import nodes
from orchestrator.slots.autoscaler import autoscaled
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker import fit_trial, fit_trial_on_copies
from orchestrator.status.live_view import LiveView
from orchestrator.study.journal import StudyState
from orchestrator.study.outcome import trials_left
from orchestrator.study.resume import resume_command
from orchestrator.study.study import Study, open_study
from orchestrator.tracking.open_recorder import open_record
from orchestrator.tracking.recorder import Recorder
from orchestrator.workflow.lost_cluster import continue_or_end
from orchestrator.workflow.prepared_run import PreparedRun


@dataclass
class Run:
    """The open parts of a running study."""

    study: Study
    recorder: Recorder
    pool: SlotPool
    interruption: Interruption
    open_retrain_pool: Callable[[], SlotPool] | None
    """Opens the pool for retraining, where it needs other slots than the search; None otherwise."""
    root: Path
    console: Console

    def retrain(self, planned: list[PlannedTrial]) -> None:
        if self.open_retrain_pool is not None:
            self.pool.close()
            self.pool = self.open_retrain_pool()
        self.train(planned)

    def end_interrupted(self) -> int | None:
        """After a signal, records the interruption, says how to continue and returns the exit code; else None."""
        if self.interruption.exit_code is not None:
            self.recorder.stage("interrupted")
            command = resume_command(self.study.spec, self.recorder.journal.state, self.root)
            self.console.print(f"interrupted; continue with: {command}")
        return self.interruption.exit_code

    def train(self, planned: list[PlannedTrial]) -> None:
        run_trials(
            planned,
            self.recorder,
            self.pool,
            self.study.storage,
            self.study.paths.data,
            self.study.spec.max_failures_per_trial,
            self.interruption.requested,
        )


@contextmanager
def running(prepared: PreparedRun, console: Console) -> Iterator[Run]:
    """Opens cluster, study, slots and record, in this order: each may refuse before the next one is opened."""
    spec, options, paths = prepared.spec, prepared.options, prepared.paths
    storage, trial = prepared.storage, resolve_trial(spec, {})
    study: Study | None = None
    view: LiveView | None = None
    with ExitStack() as stack:
        interruption = stack.enter_context(interruptible(console.print))

        def lost(sentence: str) -> None:
            if view is not None:
                view.close()
            command = resume_command(spec, study.journal.state if study is not None else StudyState(), options.root)
            continue_or_end(sentence, console, command, local=options.address in (None, "local"))

        try:
            stack.enter_context(connect(options.address, cancelled=interruption.requested.is_set, lost=lost))
        except StartCancelledError:
            interruption.exit_if_requested("Ray was still starting; start the study")
        alive = nodes()
        # The check before the start knew this machine only; the cluster decides.
        check_capacity(spec, alive)
        check_storage(storage, paths.root, needed_data(trial, paths.data))
        facts = {
            "data": {"name": prepared.dataset.name, "digest": prepared.dataset.digest},
            "provenance": provenance(),
            **storage.facts,
        }
        study = stack.enter_context(open_study(spec, paths, prepared.resume, facts))
        remove_leftovers(paths)
        copies = options.copy_data if options.copy_data is not None else len(alive) > 1 or not is_local_disk(paths.root)

        def tell(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        def open_pool(capacity: Callable[[], Capacity], least: int) -> SlotPool:
            return stack.enter_context(_following_pool(study, capacity, least, copies, tell))

        open_retrain_pool = None
        if spec.finalists.worker_range is not None:
            least, _ = spec.finalists.worker_range
            open_retrain_pool = functools.partial(open_pool, lambda: retrain_capacity_for(spec, nodes()), least)
        if open_retrain_pool is not None and trials_left(spec, study.journal.state) <= 0:
            pool, open_retrain_pool = open_retrain_pool(), None
        else:
            pool = open_pool(lambda: capacity_for(spec, nodes()), spec.resources.workers_per_trial)
        view = LiveView(console, study.journal.state, spec.trials, trial.epochs, lambda: run.pool.size)
        # While the slots start: a new MLflow database takes seconds as well.
        recorder = open_record(stack, study, options.tracking_uri, prepared.dataset, console, view.update)
        run = Run(study, recorder, pool, interruption, open_retrain_pool, options.root, console)
        stack.enter_context(monitored(study, recorder, lambda: run.pool))
        stack.enter_context(view)
        yield run


@contextmanager
def _following_pool(
    study: Study, capacity: Callable[[], Capacity], least: int, copies: bool, tell: Callable[[str], None]
) -> Iterator[SlotPool]:
    """Opens a pool that follows the cluster's capacity; it keeps one slot of `least` workers even if none fits.

    `tell` is called with a message when slots wait for resources that others use.
    """
    asked = study.spec.resources

    def shape() -> tuple[int, ...]:
        try:
            return capacity().shape
        except PreflightError:
            # The nodes of the start have left; they may come back.
            return (least,)

    pool = SlotPool(
        shape(),
        SlotSpec(
            cpus_per_worker=asked.cpus_per_worker,
            gpus_per_worker=asked.gpus_per_worker,
            # Ray Train's own files need no sharing; with an object store, each slot keeps them on its node.
            storage=study.paths.scratch if study.storage.bucket is None else None,
            placement="PACK" if asked.placement == "pack" else "SPREAD",
            trials_per_slot=asked.trials_per_slot,
            hang_timeout_s=asked.hang_timeout_s,
            fit=fit_trial_on_copies if copies else fit_trial,
        ),
    )
    # Before the pool takes resources itself. Later Ray Train reports it, but only after two minutes.
    if (shortage := pool.shortage()) is not None:
        tell(shortage)
    with pool, autoscaled(pool, shape, tell):
        yield pool
