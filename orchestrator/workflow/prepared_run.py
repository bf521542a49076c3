"""Checks a run before anything starts: the study, its trials, the machine's room, the tracking server, the data."""

from dataclasses import dataclass
from typing import Literal

from rich.console import Console

from orchestrator.checks.data import check_data, this_machine, with_occluders
from orchestrator.checks.given_addresses import check_addresses
from orchestrator.errors import PreflightError
from orchestrator.finalists.selection import plan_finalists
from orchestrator.options import RunOptions
from orchestrator.planning.plan import check_capacity
from orchestrator.planning.trials import check_trials
from orchestrator.process.start_clock import StartClock
from orchestrator.registry.permission import check_may_register
from orchestrator.study.checkpoint_storage import TrialStorage
from orchestrator.study.journal import StudyState, read_state
from orchestrator.study.lock import check_free
from orchestrator.study.outcome import trials_left
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.study import check_startable
from orchestrator.tracking.mlflow.store import artifact_root, prepare_store, tracking_uri_or_local
from orchestrator.tracking.records import DatasetInput
from search_spaces.schema import SearchSpec

Purpose = Literal["search", "train", "promote"]


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that passed every check which needs no cluster."""

    spec: SearchSpec
    """With the occluding data set written out."""
    options: RunOptions
    resume: bool
    paths: StudyPaths
    storage: TrialStorage
    tracking_uri: str
    dataset: DatasetInput
    finished: bool
    """A search that went its whole way before; nothing is left to run."""
    clock: StartClock
    """Measures the parts of the start; `workflow.session` marks the later ones."""


def prepare_run(
    spec: SearchSpec, options: RunOptions, *, purpose: Purpose, resume: bool, console: Console
) -> PreparedRun:
    """Checks a run and returns what it needs; nothing is started and no study folder is made.

    Raises ConfigError, DataError or PreflightError for the first check that fails.
    """
    clock = StartClock()
    clock.mark("imports")
    paths = study_paths(options.root, spec.name)
    storage = check_addresses(options, paths)
    if purpose != "promote":
        spec = with_occluders(spec, paths, console)
    started = check_startable(spec, paths, resume)
    state = read_state(paths.journal) if started else StudyState()
    check_free(paths.folder)
    finished = purpose == "search" and state.stage == "done"
    if purpose == "promote":
        _check_retrained(spec, state)
    elif not finished:
        check_trials(spec, started)
        if options.address is None:
            check_capacity(spec, [this_machine()])
    tracking_uri = tracking_uri_or_local(options.root, options.tracking_uri)
    if options.tracking_uri and not finished:
        prepare_store(tracking_uri, spec.name, artifact_root(tracking_uri, paths.root))
        if purpose != "train":
            check_may_register(tracking_uri, spec.registered_model)
    dataset = check_data(spec, paths.data, console, started)
    clock.mark("checks")
    return PreparedRun(
        spec=spec,
        options=options,
        resume=resume,
        paths=paths,
        storage=storage,
        tracking_uri=tracking_uri,
        dataset=dataset,
        finished=finished,
        clock=clock,
    )


def _check_retrained(spec: SearchSpec, state: StudyState) -> None:
    """Raises PreflightError unless every retraining has ended: a study that is judged counts as done for ever."""
    if state.of_kind("train"):
        raise PreflightError(
            f"'{spec.name}' is one trial of `aib train`; only a search has finalists that can be judged. Run it as a "
            f"search: aib search SPEC"
        )
    if spec.finalists.top == 0:
        raise PreflightError(
            f"'{spec.name}' has no finalists (finalists.top is 0 in its spec), so there is no model to judge. Search "
            "again with finalists, under another name with --name."
        )
    trials = state.trials
    left = trials_left(spec, state)
    planned = [] if left > 0 else [one.trial for one in plan_finalists(spec, list(trials.values()))]
    unended = sum(name not in trials or trials[name].state == "running" for name in planned)
    if left > 0 or unended:
        missing = f"{left} of its {spec.trials} trials" if left > 0 else f"{unended} of its {len(planned)} retrainings"
        raise PreflightError(
            f"'{spec.name}' is not finished: {missing} have not ended. Finish it, which also judges and registers its "
            f"winner: aib search SPEC --name {spec.name} --resume"
        )
