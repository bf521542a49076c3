"""Verbs that plan or run a study: plan, search, train."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import (
    Address,
    CopyData,
    Json,
    Root,
    Sets,
    Storage,
    TrackingUri,
    err,
    out,
    print_json,
)
from orchestrator.errors import EXIT_DONE
from orchestrator.options import DEFAULT_ROOT
from orchestrator.process.streams import ReaderGoneError

if TYPE_CHECKING:
    from search_spaces.schema import SearchSpec

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The search's YAML file.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the study, instead of the spec's.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the study with this name, or start it.")]


def plan(
    spec: Spec,
    root: Root = DEFAULT_ROOT,
    sets: Sets = [],  # noqa: B006 - typer reads the default, never changed
    name: Name = None,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    storage: Storage = None,
    copy_data: CopyData = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="NODESxCPUSxGPUS", help="Plan for an imagined cluster, for example 2x32x8."),
    ] = None,
    seconds_per_epoch: Annotated[
        float | None,
        typer.Option("--seconds-per-epoch", help="Duration of an epoch in one worker group; adds hours."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a search would do and cost. Starts and writes nothing.

    Takes the options of `aib search`, and refuses the addresses that it refuses.
    """
    from orchestrator.options import RunOptions
    from orchestrator.workflow.dry_run import plan_search

    options = RunOptions(root=root, tracking_uri=tracking_uri, address=address, storage=storage, copy_data=copy_data)
    made = plan_search(_load(spec, sets, name), options, cluster, seconds_per_epoch)
    if as_json:
        print_json(made.to_json())
    else:
        out.print(made.render(), markup=False)


def search(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="The search's YAML file; with --resume also the study's name.")
    ],
    root: Root = DEFAULT_ROOT,
    name: Name = None,
    resume: Resume = False,
    sets: Sets = [],  # noqa: B006 - typer reads the default, never changed
    tracking_uri: TrackingUri = None,
    address: Address = None,
    storage: Storage = None,
    copy_data: CopyData = None,
    exit_zero_when_done: Annotated[
        bool,
        typer.Option(
            "--exit-zero-when-done",
            help="Exit with 0 also where the gate refused (5) or the search is partial (4), for schedulers that call "
            "any other code a failure.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a search, its finalists and the gate to the registry.

    Finalists are retrained over several seeds; the best one is registered if it passes the gate.
    """
    from orchestrator.options import RunOptions
    from orchestrator.study.outcome import DONE_CODES, OUTCOMES
    from orchestrator.study.resume import spec_to_resume
    from orchestrator.workflow.search import run_study

    own = spec_to_resume(spec, "search", root, bool(sets or name)) if resume else None
    loaded = own or _load(spec, sets, name)
    options = RunOptions(root=root, tracking_uri=tracking_uri, address=address, storage=storage, copy_data=copy_data)
    code = run_study(loaded, options, resume=resume, console=err)
    if exit_zero_when_done and code and code in DONE_CODES:
        err.print(f"done, {OUTCOMES[code]}: exit code 0 in place of {code} (--exit-zero-when-done)")
        code = EXIT_DONE
    conclude(root, loaded.name, as_json, code)


def train(
    root: Root = DEFAULT_ROOT,
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC]", help="YAML file with the trial and resources; with --resume also the study's name."
        ),
    ] = None,
    name: Name = None,
    resume: Resume = False,
    sets: Sets = [],  # noqa: B006 - typer reads the default, never changed
    tracking_uri: TrackingUri = None,
    address: Address = None,
    storage: Storage = None,
    copy_data: CopyData = None,
    as_json: Json = False,
) -> None:
    """Train one trial with fixed values.

    The values are the spec's trial section, its first point if it has one, and --set. The trial is
    recorded as its own study, NAME-train for a spec named NAME.
    """
    from orchestrator.options import RunOptions
    from orchestrator.study.resume import spec_to_resume
    from orchestrator.workflow.train import as_single_trial, run_single

    own = spec_to_resume(spec, "train", root, bool(sets or name)) if resume and spec is not None else None
    loaded = own or as_single_trial(_load(spec, sets, name), name)
    code = run_single(
        loaded,
        RunOptions(root=root, tracking_uri=tracking_uri, address=address, storage=storage, copy_data=copy_data),
        resume=resume,
        console=err,
    )
    conclude(root, loaded.name, as_json, code)


def _load(spec: Path | None, sets: list[str], name: str | None) -> "SearchSpec":
    from search_spaces.schema import load_spec

    # Quoted to keep the name exactly as given: 2026 would become a number, and a line break would be cut off.
    return load_spec(spec, [*sets, *([f"name={json.dumps(name)}"] if name is not None else [])])


def conclude(root: Path, study: str, as_json: bool, code: int) -> None:
    """Prints the summary of a study and exits with `code`."""
    from orchestrator.status.links import link_lines
    from orchestrator.status.summary import status_of, summary_lines
    from orchestrator.study.paths import study_paths
    from orchestrator.study.study import view_study

    paths = study_paths(root, study)
    view = view_study(paths)
    # A reader that left before the last line does not change how the study ended.
    with suppress(ReaderGoneError):
        if as_json:
            print_json(status_of(view))
        else:
            for line in [*summary_lines(view), *link_lines(paths, view)]:
                out.print(line, markup=False)
    raise typer.Exit(code)
