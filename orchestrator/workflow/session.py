"""The session of a running study: cluster, study folder, slots and record."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from orchestrator.checks.storage import check_storage
from orchestrator.checks.storage_probe import needed_data
from orchestrator.cleanup.collect import remove_leftovers
from orchestrator.finalists.fixed_trials import PlannedTrial, run_trials
from orchestrator.finalists.reload_check import reload_error_pct
from orchestrator.monitoring.study_metrics import monitored
from orchestrator.planning.plan import capacity_for, check_capacity, retrain_capacity_for
from orchestrator.planning.trials import resolve_trial
from orchestrator.process.code_version import provenance
from orchestrator.process.machine import is_local_disk
from orchestrator.process.owner import owner
from orchestrator.process.signals import Interruption, interruptible
from orchestrator.ray_cluster.connection import connect
from orchestrator.ray_cluster.local_cluster import StartCancelledError
from orchestrator.ray_cluster.nodes import nodes
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.sharing import NO_WORK, SlotSize, Work
from orchestrator.status.live_view import LiveView
from orchestrator.study.journal import StudyState
from orchestrator.study.outcome import trials_left
from orchestrator.study.resume import resume_command
from orchestrator.study.study import Study, open_study
from orchestrator.tracking.open_recorder import open_record
from orchestrator.tracking.recorder import Recorder
from orchestrator.workflow.lost_cluster import continue_or_end
from orchestrator.workflow.prepared_run import PreparedRun
from orchestrator.workflow.study_slots import StudySlots, study_slots
from search_spaces.schema import SearchSpec


@dataclass
class Run:
    """The open parts of a running study."""

    study: Study
    recorder: Recorder
    slots: StudySlots
    pool: SlotPool
    interruption: Interruption
    open_retrain_pool: Callable[[], SlotPool] | None
    """Opens the pool for retraining, where it needs other slots than the search; None otherwise."""
    root: Path
    console: Console

    def retrain(self, planned: list[PlannedTrial]) -> None:
        self.slots.work = Work(lambda: max(1, self._unended(planned)), final=True)
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

    def measure(self, exported: Path) -> float:
        """The validation error (%) of an exported model, measured in a slot that the study kept for it."""
        self.slots.work = Work(lambda: 1, final=True)
        error_pct = reload_error_pct(exported, self.study.paths.data, self.pool, self.interruption)
        # Registering a model may wait for the tracking server.
        self.close_slots()
        return error_pct

    def close_slots(self) -> None:
        """Gives all slots back to the cluster."""
        self.slots.work = NO_WORK
        self.pool.close()

    def _unended(self, planned: list[PlannedTrial]) -> int:
        trials = self.recorder.journal.state.trials
        return sum(one.trial not in trials or trials[one.trial].state == "running" for one in planned)


def search_work(spec: SearchSpec, state: StudyState) -> Work:
    """The work of a search: its trials, and later its finalists, if they use slots of the same size."""
    finalists = min(spec.finalists.top, spec.trials) * spec.finalists.seeds
    shared = spec.finalists.worker_range is None
    return Work(lambda: max(1, trials_left(spec, state)), finalists if shared else 0)


@contextmanager
def running(prepared: PreparedRun, console: Console, work: Callable[[SearchSpec, StudyState], Work]) -> Iterator[Run]:
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
            connected = connect(options.address, cancelled=interruption.requested.is_set, lost=lost)
            cluster = stack.enter_context(connected)
        except StartCancelledError:
            interruption.exit_if_requested("Ray was still starting; start the study")
            raise
        prepared.clock.mark("cluster")
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
        # Trials of an earlier driver start again, with new workers.
        prepared.clock.mark("nodes")
        study.journal.append("driver", owner=owner(), start_s=prepared.clock.parts_s)
        copies = options.copy_data if options.copy_data is not None else len(alive) > 1 or not is_local_disk(paths.root)
        slots = stack.enter_context(study_slots(study, cluster, copies, work(spec, study.journal.state)))

        def open_search_pool() -> SlotPool:
            workers = spec.resources.workers_per_trial
            return stack.enter_context(slots.pool(lambda now: capacity_for(spec, now), SlotSize(workers, workers)))

        def open_retrain_pool() -> SlotPool:
            size = SlotSize(*(spec.finalists.worker_range or (1, 1)))
            return stack.enter_context(slots.pool(lambda now: retrain_capacity_for(spec, now), size))

        separate = spec.finalists.worker_range is not None
        if separate and trials_left(spec, study.journal.state) <= 0:
            pool, separate = open_retrain_pool(), False
        else:
            pool = open_search_pool()
        view = LiveView(console, study.journal.state, spec.trials, trial.epochs, lambda: run.pool.size)
        # While the slots start: a new MLflow database takes seconds as well.
        recorder = open_record(stack, study, options.tracking_uri, prepared.dataset, console, view.update)
        slots.follow(view.note, recorder.trial_stepped)
        retrain_pool = open_retrain_pool if separate else None
        run = Run(study, recorder, slots, pool, interruption, retrain_pool, options.root, console)
        stack.enter_context(monitored(study, recorder, lambda: run.pool))
        stack.enter_context(view)
        yield run
