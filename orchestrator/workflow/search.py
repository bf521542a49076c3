"""`aib search`: runs a search from its spec to a registered champion and the report."""

from contextlib import ExitStack

from rich.console import Console

from orchestrator.finalists.promotion import promote_winner
from orchestrator.finalists.selection import best_finalist, plan_finalists
from orchestrator.options import RunOptions
from orchestrator.planning.trials import resolve_trial
from orchestrator.report.source import StudySource
from orchestrator.report.write import FILES, write_report
from orchestrator.search.reconcile_optuna import reconcile_optuna
from orchestrator.search.tune_run import run_search
from orchestrator.study.addresses import movable_path
from orchestrator.study.outcome import study_exit_code
from orchestrator.study.study import Study, open_study
from orchestrator.tracking.open_recorder import open_record
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import LogArtifact
from orchestrator.workflow.prepared_run import PreparedRun, prepare_run
from orchestrator.workflow.session import running, search_work
from search_spaces.schema import SearchSpec


def run_study(spec: SearchSpec, options: RunOptions, *, resume: bool, console: Console) -> int:
    """Searches, retrains the finalists, lets the gate decide, registers the winner and writes the report.

    Returns the contract's exit code. Everything that can be refused is refused before a trial starts.
    """
    prepared = prepare_run(spec, options, purpose="search", resume=resume, console=console)
    if prepared.finished:
        return _complete_record(prepared, console)
    with running(prepared, console, search_work) as run:
        study, recorder, interruption = run.study, run.recorder, run.interruption
        recorder.stage("searching")
        if not interruption.requested.is_set():
            run_search(
                study,
                recorder,
                run.pool,
                prepared.paths.data,
                lambda params: resolve_trial(study.spec, params),
                interruption.requested,
            )
        wants_finalists = study.spec.finalists.top > 0
        if wants_finalists and not interruption.requested.is_set():
            recorder.stage("finalists")
            run.retrain(plan_finalists(study.spec, list(recorder.journal.state.trials.values())))
        if (code := run.end_interrupted()) is not None:
            return code
        if wants_finalists:
            recorder.stage("publishing")
            best = best_finalist(study.spec, list(recorder.journal.state.trials.values()))
            promote_winner(study, recorder, best, prepared.tracking_uri, run.measure)
        run.close_slots()
        recorder.stage("done")
        _report(study, recorder)
    return study_exit_code(study.spec, recorder.journal.state)


def _report(study: Study, recorder: Recorder) -> None:
    page = write_report([StudySource.of(study.paths)], study.paths.report)
    for name in FILES:
        recorder.tracker.write(LogArtifact(None, page.with_name(name), "report"))
    # Last, so that a resume writes and records the report again if a kill comes before this line.
    recorder.journal.append("report", path=movable_path(study.paths, page))


def _complete_record(prepared: PreparedRun, console: Console) -> int:
    """Resumes a finished study: nothing runs.

    The tracking server gets the records it lacks. Optuna's database and the report are made again where they are lost.
    """
    with ExitStack() as stack:
        study = stack.enter_context(open_study(prepared.spec, prepared.paths, True, {}))
        reconcile_optuna(study.spec, study.paths.optuna_db, study.journal.state.of_kind("search"))
        recorder = open_record(stack, study, prepared.options.tracking_uri, prepared.dataset, console)
        if study.journal.state.report is None:
            _report(study, recorder)
    return study_exit_code(prepared.spec, study.journal.state)
