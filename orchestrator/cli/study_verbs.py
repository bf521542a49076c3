"""Verbs that read a study: status, watch, trials, best, pareto."""

from typing import Annotated, Any

import typer

from orchestrator.cli.output import Json, Root, err, out, print_json
from orchestrator.options import DEFAULT_ROOT

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]


def status(
    study: StudyName,
    root: Root = DEFAULT_ROOT,
    address: Annotated[
        str | None,
        typer.Option("--address", help="Ask this cluster, http://HEAD:8265, if its folder is not reachable here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a study's stage, trials, best trial and links.

    Also shows the registered model, and how to continue a study that no process runs.
    """
    from orchestrator.status.summary import stage_text
    from orchestrator.study.resume import needs_resume, resume_command

    links: list[str] = []
    paths = _paths(root, study)
    if address is None:
        from orchestrator.status.links import link_lines
        from orchestrator.status.summary import read_status

        view, found = read_status(paths)
        links = link_lines(paths, view)
        resume = resume_command(view.spec, view.state, root)
    else:
        from orchestrator.submission.remote_status import remote_status

        found = remote_status(study, address, str(root))
        resume = f"aib submit SPEC --address {address}, with the same --set as when it was started"
    if as_json:
        print_json(found)
        return
    resumable = needs_resume(found)
    out.print(f"{found['study']}: {stage_text(found)}")
    if resumable:
        out.print(f"no process runs it now; continue with: {resume}", markup=False)
    if found.get("job"):
        out.print(f"job {found['job']['id']}: {found['job']['status'].lower()}")
    if found["stage"] is None:
        return
    counts = found["trials"]
    out.print(
        f"trials: {counts['planned']} planned, {counts['completed']} completed, {counts['stopped']} stopped early, "
        f"{counts['failed']} failed, {_unended(counts, resumable)}"
    )
    if (found.get("slots") or {}).get("text"):
        out.print(found["slots"]["text"], markup=False)
    if found["best"]:
        out.print(f"best so far: {found['best']['trial']}  {_shown(found['best']['metrics'])}")
    if found["registered"]:
        out.print(f"registered: {found['registered']['name']} version {found['registered']['version']}")
    for line in links:
        out.print(line, markup=False)


def watch(
    study: StudyName,
    root: Root = DEFAULT_ROOT,
    every: Annotated[float, typer.Option("--every", min=0.1, metavar="SECONDS", help="Update interval.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Show the live table of a study that another process runs.

    Ends when that process exits; Ctrl-C only stops watching. With --json the table goes
    to stderr, and at the end the object of `status --json` goes to stdout.
    """
    from orchestrator.status.links import link_lines
    from orchestrator.status.summary import stage_text, status_of
    from orchestrator.status.watch import watch as watch_study

    paths = _paths(root, study)
    console = err if as_json else out
    for line in link_lines(paths, _view(root, study)):
        console.print(line)
    state = watch_study(paths, console, every)
    found = status_of(_view(root, study))
    if as_json:
        print_json({**found, "driver_running": False, "slots": None})
        return
    ended = sum(record.state != "running" for record in state.trials.values())
    out.print(f"{study}: {stage_text(found)}, no process runs it now; {ended} of {len(state.trials)} trials ended")


def trials(study: StudyName, root: Root = DEFAULT_ROOT, as_json: Json = False) -> None:
    """List all trials with state, epoch, metrics and parameters."""
    from orchestrator.status.summary import trial_row
    from orchestrator.status.trial_table import trial_table
    from orchestrator.study.lock import is_held

    # The lock before the journal: all events that a driver wrote before it left are then read.
    held = is_held(_paths(root, study).folder)
    view = _view(root, study)
    records = list(view.state.trials.values())
    if as_json:
        print_json({"study": study, "trials": [trial_row(record) for record in records]})
        return
    out.print(trial_table(records, held))


def best(study: StudyName, root: Root = DEFAULT_ROOT, as_json: Json = False) -> None:
    """Show the best full-length trial that meets every constraint."""
    from orchestrator.status.summary import trial_row
    from orchestrator.study.ranking import best_trials

    view = _view(root, study)
    ordered = best_trials(view.spec, list(view.state.trials.values()))
    if as_json:
        print_json({"study": study, "best": trial_row(ordered[0]) if ordered else None})
        return
    if not ordered:
        err.print(f"{study}: no trial has run to its last epoch within every constraint yet; see: aib trials {study}")
        return
    out.print(f"{ordered[0].trial}  {_shown(ordered[0].outcome)}")
    for key, value in ordered[0].params.items():
        out.print(f"  {key} = {value}")


def pareto(study: StudyName, root: Root = DEFAULT_ROOT, as_json: Json = False) -> None:
    """List the Pareto-optimal trials.

    Only full-length trials that meet every constraint are compared.
    """
    from orchestrator.status.summary import trial_row
    from orchestrator.status.trial_table import trial_table
    from orchestrator.study.ranking import pareto_front

    view = _view(root, study)
    front = pareto_front(view.spec, list(view.state.trials.values()))
    if as_json:
        objectives = [o.metric for o in view.spec.objectives]
        print_json({"study": study, "objectives": objectives, "front": [trial_row(record) for record in front]})
        return
    out.print(trial_table(front))


def _view(root: Any, study: str) -> Any:
    from orchestrator.study.study import view_study

    return view_study(_paths(root, study))


def _paths(root: Any, study: str) -> Any:
    from orchestrator.study.paths import study_paths

    return study_paths(root, study)


def _unended(counts: dict[str, int], resumable: bool) -> str:
    # A cluster with an earlier version counts starting trials as running.
    starting = counts.get("starting", 0)
    if resumable:
        return f"{starting + counts['running']} unfinished"
    return (f"{starting} starting, " if starting else "") + f"{counts['running']} running"


def _shown(metrics: dict[str, float]) -> str:
    names = ("val_error_pct", "final_test_error_pct", "interp_centered_pct", "val_attention_std")
    return "  ".join(f"{name} {metrics[name]:.3g}" for name in names if name in metrics)
