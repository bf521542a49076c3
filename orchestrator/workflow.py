"""A search from its spec to a registered champion: check everything, then search, retrain, judge, publish, report."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.capacity import Capacity, Node
from orchestrator.champion import crown
from orchestrator.errors import EXIT_DONE, EXIT_GATE_REFUSED, EXIT_PARTIAL, PreflightError
from orchestrator.file_systems import is_local_disk
from orchestrator.finalists import best_finalist, plan_finalists
from orchestrator.interruption import Interruption, interruptible
from orchestrator.jobs import PlannedTrial, run_trials
from orchestrator.journal import StudyState
from orchestrator.live import LiveView
from orchestrator.monitoring import monitored
from orchestrator.plan import capacity_for, make_plan, resolve_trial, retrain_capacity_for
from orchestrator.preflight import Prepared, check_data, this_machine, with_occluders
from orchestrator.provenance import provenance
from orchestrator.reconcile import reconcile_store
from orchestrator.recorder import Recorder
from orchestrator.registry.permission import check_may_register
from orchestrator.report.source import Source
from orchestrator.report.write import FILES, write_report
from orchestrator.scrub import scrub
from orchestrator.search import run_search, trials_left
from orchestrator.slots.cluster import connect, nodes
from orchestrator.slots.elastic import elastic
from orchestrator.slots.node_check import check_storage
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.worker import fit_trial, fit_trial_on_copies
from orchestrator.storage import choose_storage
from orchestrator.storage_probe import NeededData
from orchestrator.study import Study, check_startable, open_study, view_study
from orchestrator.study_paths import study_paths
from orchestrator.tracking.buffered import BufferedTracker
from orchestrator.tracking.mlflow_store import prepare_store, tracking_uri_or_local
from orchestrator.tracking.mlflow_tracker import MlflowTracker
from orchestrator.tracking.spool import Spool
from orchestrator.trial_artifacts import log_trial_artifacts
from search_spaces.schema import SearchSpec

FLUSH_S = 120.0
RUN_ID_WAIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a study runs and is recorded."""

    root: Path
    tracking_uri: str | None = None
    address: str | None = None
    storage: str | None = None
    """URI of an object store for the trials' checkpoints; None: the study's folder."""
    copy_data: bool | None = None
    """Whether each node reads its own copy of the data; None: where the root is not a disk of the only node."""


def run_study(spec: SearchSpec, where: Where, *, resume: bool, console: Console) -> int:
    """The whole search; the contract's exit code. Everything that can be refused is refused before anything starts."""
    paths = study_paths(where.root, spec.name)
    spec = with_occluders(spec, paths, console)
    if check_startable(spec, paths, resume) and view_study(paths).state.stage == "done":
        return _ended(spec, where, console)
    if where.address is None:
        make_plan(spec, [this_machine()])
    _check_server(spec, where, registers=True)
    prepared = check_data(spec, paths.data, console)
    with _running(spec, where, prepared, resume=resume, console=console) as run:
        study, recorder, interruption = run.study, run.recorder, run.interruption
        recorder.stage("searching")
        run_search(
            study,
            recorder,
            run.pool,
            paths.data,
            lambda params: resolve_trial(spec, params),
            interruption.requested,
        )
        if not interruption.requested.is_set():
            recorder.stage("finalists")
            run.retrain(plan_finalists(spec, list(recorder.journal.state.trials.values())))
        if interruption.exit_code is not None:
            recorder.stage("interrupted")
            console.print(f"interrupted; continue with: aib search SPEC --name {spec.name} --resume")
            return interruption.exit_code
        run.pool.close()
        recorder.stage("publishing")
        crown(study, recorder, best_finalist(spec, list(recorder.journal.state.trials.values())), run.uri)
        recorder.stage("done")
        _report(study, recorder)
    return _exit_code(recorder.journal.state)


def _report(study: Study, recorder: Recorder) -> None:
    page = write_report([Source.of(study.paths)], study.paths.report)
    for name in FILES:
        recorder.tracker.log_artifact(None, page.with_name(name), "report")
    # Last: a report without this line is made, and told, once more.
    recorder.journal.append("report", path=str(page))


def _exit_code(state: StudyState) -> int:
    """The contract's code for a study that went its whole way."""
    if state.gate is None or not state.gate["promote"]:
        return EXIT_GATE_REFUSED
    return EXIT_PARTIAL if any(record.state == "failed" for record in state.trials.values()) else EXIT_DONE


def _ended(spec: SearchSpec, where: Where, console: Console) -> int:
    """A finished study resumed: nothing runs; records that the tracking server has not taken yet are sent."""
    paths = study_paths(where.root, spec.name)
    with ExitStack() as stack:
        study = stack.enter_context(open_study(spec, paths, True, {}))
        recorder = _record(stack, study, where, check_data(spec, paths.data, console), console)
        if study.journal.state.report is None:
            _report(study, recorder)
    return _exit_code(study.journal.state)


def as_single_trial(spec: SearchSpec, name: str | None) -> SearchSpec:
    """The spec as one trial of fixed values: its trial section and the first point; nothing varies.

    Without a name it is NAME-train, beside the search called NAME; a spec of --set alone is called `train` already.
    """
    point = dict(spec.first[0]) if spec.first else {}
    name = name or (spec.name if spec.name == "train" else f"{spec.name}-train")
    fixed = {
        "name": name,
        "trial": {**spec.trial, **point},
        "space": {},
        "first": [],
        "trials": 1,
        "scheduler": {"name": "none"},
    }
    return SearchSpec.from_dict({**spec.to_dict(), **fixed, "sampler": {"name": "random"}})


def run_single(spec: SearchSpec, where: Where, *, resume: bool, console: Console) -> int:
    """One trial with the spec's fixed values, recorded like a study of one."""
    paths = study_paths(where.root, spec.name)
    spec = with_occluders(spec, paths, console)
    check_startable(spec, paths, resume)
    if where.address is None:
        make_plan(spec, [this_machine()])
    _check_server(spec, where, registers=False)
    prepared = check_data(spec, paths.data, console)
    with _running(spec, where, prepared, resume=resume, console=console) as run:
        run.recorder.stage("training")
        run.train([PlannedTrial(trial="train", kind="train", config=resolve_trial(spec, {}), params={})])
        if run.interruption.exit_code is not None:
            run.recorder.stage("interrupted")
            return run.interruption.exit_code
        run.recorder.stage("done")
    failed = run.recorder.journal.state.trials["train"].state == "failed"
    return EXIT_PARTIAL if failed else EXIT_DONE


def promote_study(name: str, where: Where, console: Console) -> int:
    """Judges a study's finalists once more, against today's champion; the contract's exit code."""
    paths = study_paths(where.root, name)
    view = view_study(paths)
    check_startable(view.spec, paths, True)
    uri = tracking_uri_or_local(where.root, where.tracking_uri)
    _check_server(view.spec, where, registers=True)
    with ExitStack() as stack:
        stack.enter_context(connect(where.address))
        study = stack.enter_context(open_study(view.spec, paths, True, {}))
        recorder = _record(stack, study, where, check_data(view.spec, paths.data, console), console)
        best = best_finalist(view.spec, list(study.journal.state.trials.values()))
        promoted = crown(study, recorder, best, uri, again=True)
        recorder.stage("done")
    return EXIT_DONE if promoted else EXIT_GATE_REFUSED


@dataclass
class _Run:
    """What lives while a study runs."""

    study: Study
    recorder: Recorder
    pool: SlotPool
    interruption: Interruption
    uri: str
    open_retrain_pool: Callable[[], SlotPool] | None
    """Where retraining wants other slots than those there are."""

    def retrain(self, planned: list[PlannedTrial]) -> None:
        if self.open_retrain_pool is not None:
            self.pool.close()
            self.pool = self.open_retrain_pool()
        self.train(planned)

    def train(self, planned: list[PlannedTrial]) -> None:
        run_trials(
            planned,
            self.recorder,
            self.pool.ref,
            self.study.storage,
            self.study.paths.data,
            self.study.spec.max_failures_per_trial,
            self.interruption.requested,
        )


@contextmanager
def _running(spec: SearchSpec, where: Where, prepared: Prepared, *, resume: bool, console: Console) -> Iterator[_Run]:
    """Cluster, record and slots, in the order in which each can still refuse before the next is begun."""
    paths = study_paths(where.root, spec.name)
    uri = tracking_uri_or_local(where.root, where.tracking_uri)
    storage = choose_storage(where.storage, paths)
    with ExitStack() as stack:
        interruption = stack.enter_context(interruptible(console.print))
        stack.enter_context(connect(where.address))
        # Ray's start has put its own SIGTERM handler in the place of ours, and that one ends the process.
        interruption.listen()
        # The cluster itself has the last word on what fits.
        alive = nodes()
        plan = make_plan(spec, [Node(*node) for node in alive])
        needed = NeededData(paths.data, prepared.store.name, prepared.store.image_size, prepared.store.digest)
        check_storage(storage, paths.root, needed)
        facts = {
            "data": {"name": prepared.store.name, "digest": prepared.store.digest},
            "provenance": provenance(),
            **storage.facts,
        }
        study = stack.enter_context(open_study(spec, paths, resume, facts))
        copies = where.copy_data if where.copy_data is not None else len(alive) > 1 or not is_local_disk(paths.root)

        def open_pool(capacity: Callable[[], Capacity], least: int) -> SlotPool:
            return stack.enter_context(_following_pool(study, capacity, least, copies))

        open_retrain_pool = None
        if spec.finalists.worker_range is not None:
            least, _ = spec.finalists.worker_range
            open_retrain_pool = functools.partial(open_pool, lambda: retrain_capacity_for(spec, nodes()), least)
        if open_retrain_pool is not None and trials_left(spec, study.journal.state) <= 0:
            pool, open_retrain_pool = open_retrain_pool(), None
        else:
            pool = open_pool(lambda: capacity_for(spec, nodes()), spec.resources.workers_per_trial)
        # While the slots start: a new database takes seconds of its own.
        recorder = _record(stack, study, where, prepared, console)
        run = _Run(study, recorder, pool, interruption, uri, open_retrain_pool)
        stack.enter_context(monitored(study, recorder, lambda: run.pool))
        view = LiveView(console, study.journal.state, spec.trials, plan.epochs, lambda: run.pool.size)
        recorder.on_change = stack.enter_context(view).update
        yield run


@contextmanager
def _following_pool(study: Study, capacity: Callable[[], Capacity], least: int, copies: bool) -> Iterator[SlotPool]:
    """Slots that follow the cluster's capacity; one of `least` workers stays when there is room for none."""
    asked = study.spec.resources

    def shape() -> tuple[int, ...]:
        try:
            return capacity().shape
        except PreflightError:
            # What was there at the start has left; it may come back.
            return (least,)

    pool = SlotPool(
        shape(),
        cpus_per_worker=asked.cpus_per_worker,
        gpus_per_worker=asked.gpus_per_worker,
        # Train's own files need no sharing; where only objects are shared, each slot keeps its own.
        storage=study.paths.scratch if study.storage.bucket is None else None,
        placement="PACK" if asked.placement == "pack" else "SPREAD",
        trials_per_slot=asked.trials_per_slot,
        hang_timeout_s=asked.hang_timeout_s,
        fit=fit_trial_on_copies if copies else fit_trial,
    )
    with pool, elastic(pool, shape):
        yield pool


def _check_server(spec: SearchSpec, where: Where, *, registers: bool) -> None:
    """A server that is away or refuses this account is found before a cluster is started or a study's folder made."""
    if where.tracking_uri:
        prepare_store(where.tracking_uri, spec.name)
        if registers:
            check_may_register(where.tracking_uri, spec.registered_model)


def _record(stack: ExitStack, study: Study, where: Where, prepared: Prepared, console: Console) -> Recorder:
    """The study's record, open until the stack unwinds; what the server has not taken by then waits on disk."""
    uri = tracking_uri_or_local(where.root, where.tracking_uri)
    artifact_root = None if where.tracking_uri else study.paths.artifacts
    experiment_id = prepare_store(uri, study.spec.name, artifact_root)
    tracker = BufferedTracker(MlflowTracker(uri, artifact_root), Spool(study.paths.spool))
    stack.callback(tracker.close)
    tags = {"aib.study": study.spec.name, "aib.signature": study.signature}
    now_ms = int(study.journal.now_s() * 1000)
    tracker.open_study(study.spec.name, study.signature, _study_params(study.spec), tags, timestamp_ms=now_ms)
    run_id = tracker.run_id(None, RUN_ID_WAIT_S)
    record = {"tracking_uri": scrub(uri), "experiment_id": experiment_id, "run_id": run_id}
    if record != study.journal.state.mlflow:
        study.journal.append("mlflow", record=record)
    recorder = Recorder(study.journal, tracker, prepared.dataset, tags)
    recorder.on_end = lambda record: log_trial_artifacts(tracker, study.storage.of(record.trial), record)
    stack.push(_closing(recorder, tracker, console))
    reconcile_store(recorder, lambda ended: resolve_trial(study.spec, ended.params).override({"seed": ended.seed}))
    return recorder


def _closing(recorder: Recorder, tracker: BufferedTracker, console: Console) -> Callable[..., None]:
    def close(kind: type[BaseException] | None, *_: object) -> None:
        if recorder.journal.lost:
            # The record is another driver's now.
            return
        stage, now_ms = recorder.journal.state.stage, int(recorder.journal.now_s() * 1000)
        ended = "failed" if kind is not None else "completed" if stage == "done" else "interrupted"
        tracker.close_study(ended, {}, {}, timestamp_ms=now_ms)  # type: ignore[arg-type]
        left = tracker.flush(FLUSH_S)
        if left:
            why = tracker.last_error or "it has not answered yet"
            console.print(
                f"{left} records wait on disk for the tracking server ({why}); once it is back, the same command with "
                "--resume sends them.",
                markup=False,
            )
        if tracker.num_rejected:
            console.print(
                f"{tracker.num_rejected} records were refused by the tracking server; they are kept, each with the "
                f"reason, in {tracker.rejected_file}.",
                markup=False,
            )

    return close


def _study_params(spec: SearchSpec) -> Mapping[str, Any]:
    """The spec's own choices, for the parent run."""
    resolved = spec.to_dict()
    return {key: value for key, value in resolved.items() if key not in ("name", "trial")}
