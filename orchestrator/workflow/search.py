"""A search from its spec to a registered champion: check everything, then search, retrain, judge, publish, report."""

from collections import Counter
from contextlib import ExitStack

from rich.console import Console

from orchestrator.checks.data import check_data, this_machine, with_occluders
from orchestrator.errors import EXIT_DONE, EXIT_FAILED, EXIT_GATE_REFUSED, EXIT_PARTIAL, PreflightError
from orchestrator.finalists.fixed_trials import PlannedTrial
from orchestrator.finalists.promotion import promote_winner
from orchestrator.finalists.selection import best_finalist, plan_finalists
from orchestrator.options import Where
from orchestrator.planning.plan import make_plan
from orchestrator.planning.trials import resolve_trial
from orchestrator.ray_cluster.connection import connect
from orchestrator.registry.permission import check_may_register
from orchestrator.report.source import StudySource
from orchestrator.report.write import FILES, write_report
from orchestrator.search.tune_run import run_search, trials_left
from orchestrator.study.journal import StudyState
from orchestrator.study.paths import study_paths
from orchestrator.study.resume import resume_command
from orchestrator.study.study import Study, StudyView, check_startable, open_study, view_study
from orchestrator.tracking.mlflow.store import prepare_store, tracking_uri_or_local
from orchestrator.tracking.open_recorder import open_record
from orchestrator.tracking.recorder import Recorder
from orchestrator.workflow.session import running
from search_spaces.schema import SearchSpec


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
    with running(spec, where, prepared, resume=resume, console=console) as run:
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
            console.print(f"interrupted; continue with: {resume_command(spec, recorder.journal.state, where.root)}")
            return interruption.exit_code
        run.pool.close()
        recorder.stage("publishing")
        promote_winner(study, recorder, best_finalist(spec, list(recorder.journal.state.trials.values())), run.uri)
        recorder.stage("done")
        _report(study, recorder)
    return study_exit_code(spec, recorder.journal.state)


def _report(study: Study, recorder: Recorder) -> None:
    page = write_report([StudySource.of(study.paths)], study.paths.report)
    for name in FILES:
        recorder.tracker.log_artifact(None, page.with_name(name), "report")
    # Last: a report without this line is made, and told, once more.
    recorder.journal.append("report", path=str(page))


def study_exit_code(spec: SearchSpec, state: StudyState) -> int:
    """The contract's code for a study that went its whole way: the gate's refusal comes before trials that failed,
    unless it was those that left the gate nothing to judge."""
    ended = Counter(record.state for record in state.trials.values())
    if ended["failed"] and ended["failed"] == ended.total():
        return EXIT_FAILED
    promoted = state.gate is not None and state.gate["promote"]
    if not promoted and (state.gate is None or "challenger" in state.gate or not ended["failed"]):
        return EXIT_GATE_REFUSED
    return EXIT_PARTIAL if ended["failed"] or trials_left(spec, state) > 0 else EXIT_DONE


def _ended(spec: SearchSpec, where: Where, console: Console) -> int:
    """A finished study resumed: nothing runs; records that the tracking server has not taken yet are sent."""
    paths = study_paths(where.root, spec.name)
    with ExitStack() as stack:
        study = stack.enter_context(open_study(spec, paths, True, {}))
        recorder = open_record(stack, study, where, check_data(spec, paths.data, console).dataset, console)
        if study.journal.state.report is None:
            _report(study, recorder)
    return study_exit_code(spec, study.journal.state)


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
    with running(spec, where, prepared, resume=resume, console=console) as run:
        run.recorder.stage("training")
        run.train([PlannedTrial(trial="train", kind="train", config=resolve_trial(spec, {}), params={})])
        if run.interruption.exit_code is not None:
            run.recorder.stage("interrupted")
            return run.interruption.exit_code
        run.recorder.stage("done")
    failed = run.recorder.journal.state.trials["train"].state == "failed"
    return EXIT_FAILED if failed else EXIT_DONE


def promote_study(name: str, where: Where, console: Console) -> int:
    """Judges a study's finalists once more, against today's champion; the contract's exit code."""
    paths = study_paths(where.root, name)
    view = view_study(paths)
    check_startable(view.spec, paths, True)
    _check_retrained(view)
    uri = tracking_uri_or_local(where.root, where.tracking_uri)
    _check_server(view.spec, where, registers=True)
    with ExitStack() as stack:
        stack.enter_context(connect(where.address))
        study = stack.enter_context(open_study(view.spec, paths, True, {}))
        recorder = open_record(stack, study, where, check_data(view.spec, paths.data, console).dataset, console)
        best = best_finalist(view.spec, list(study.journal.state.trials.values()))
        promoted = promote_winner(study, recorder, best, uri, again=True)
        recorder.stage("done")
    return EXIT_DONE if promoted else EXIT_GATE_REFUSED


def _check_retrained(view: StudyView) -> None:
    """PreflightError unless the study has come to the gate: judged before, it would count as done for ever."""
    spec, trials = view.spec, view.state.trials
    if view.state.of_kind("train"):
        raise PreflightError(
            f"'{spec.name}' is one trial of `aib train`; only a search has finalists that can be judged. Run it as a "
            f"search: aib search SPEC"
        )
    left = trials_left(spec, view.state)
    planned = [] if left > 0 else [one.trial for one in plan_finalists(spec, list(trials.values()))]
    unended = sum(name not in trials or trials[name].state == "running" for name in planned)
    if left > 0 or unended:
        missing = f"{left} of its {spec.trials} trials" if left > 0 else f"{unended} of its {len(planned)} retrainings"
        raise PreflightError(
            f"'{spec.name}' is not finished: {missing} have not ended. Finish it, which also judges and registers its "
            f"winner: aib search SPEC --name {spec.name} --resume"
        )


def _check_server(spec: SearchSpec, where: Where, *, registers: bool) -> None:
    """A server that is away or refuses this account is found before a cluster is started or a study's folder made."""
    if where.tracking_uri:
        prepare_store(where.tracking_uri, spec.name)
        if registers:
            check_may_register(where.tracking_uri, spec.registered_model)
