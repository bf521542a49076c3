"""Verbs that plan and run: plan, search, train."""

import json
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
from orchestrator.options import DEFAULT_ROOT

if TYPE_CHECKING:
    from search_spaces.schema import SearchSpec

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The search's YAML file.")]
Name = Annotated[str | None, typer.Option("--name", help="Another name for the study.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the study of this name, or start it.")]


def plan(
    spec: Spec,
    root: Root = DEFAULT_ROOT,
    sets: Sets = [],  # noqa: B006 - typer reads the default, nobody changes it
    name: Name = None,
    address: Address = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="NODESxCPUSxGPUS", help="Plan for a cluster that need not be there: 2x32x8."),
    ] = None,
    seconds_per_epoch: Annotated[
        float | None, typer.Option("--seconds-per-epoch", help="Of one worker group; turns epochs into hours.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What a search would do and cost on this cluster. Starts and writes nothing."""
    from rich.console import Console

    from orchestrator.checks.data import checks, this_machine, with_occluders
    from orchestrator.planning.capacity import imagined
    from orchestrator.planning.plan import make_plan
    from orchestrator.study.paths import study_paths

    loaded = _load(spec, sets, name)
    paths = study_paths(root, loaded.name)
    resolved = with_occluders(loaded, paths, Console(quiet=True))
    if cluster is not None:
        nodes = imagined(cluster)
    elif address is None:
        nodes = [this_machine()]
    else:
        from orchestrator.ray_cluster.connection import connect
        from orchestrator.ray_cluster.nodes import nodes as cluster_nodes

        with connect(address):
            nodes = cluster_nodes()
    made = make_plan(resolved, nodes, seconds_per_epoch, checks(loaded, paths))
    if as_json:
        print_json(made.to_json())
    else:
        out.print(made.render(), markup=False)


def search(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="The search's YAML file; with --resume, its name does as well.")
    ],
    root: Root = DEFAULT_ROOT,
    name: Name = None,
    resume: Resume = False,
    sets: Sets = [],  # noqa: B006
    tracking_uri: TrackingUri = None,
    address: Address = None,
    storage: Storage = None,
    copy_data: CopyData = None,
    as_json: Json = False,
) -> None:
    """The search, then the finalists over several seeds, then the gate to the registry."""
    from orchestrator.options import RunOptions
    from orchestrator.study.resume import spec_to_resume
    from orchestrator.workflow.search import run_study

    own = spec_to_resume(spec, "search", root, bool(sets or name)) if resume else None
    loaded = own or _load(spec, sets, name)
    options = RunOptions(root=root, tracking_uri=tracking_uri, address=address, storage=storage, copy_data=copy_data)
    code = run_study(loaded, options, resume=resume, console=err)
    conclude(root, loaded.name, as_json, code)


def train(
    root: Root = DEFAULT_ROOT,
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPEC]", help="Gives the trial and the resources; with --resume, the study's name does as well."
        ),
    ] = None,
    name: Name = None,
    resume: Resume = False,
    sets: Sets = [],  # noqa: B006
    tracking_uri: TrackingUri = None,
    address: Address = None,
    storage: Storage = None,
    copy_data: CopyData = None,
    as_json: Json = False,
) -> None:
    """One trial with fixed values: the spec's trial section, its first point where it has one, and --set.

    It is recorded as a study of its own, NAME-train where the spec is called NAME.
    """
    from orchestrator.options import RunOptions
    from orchestrator.study.resume import spec_to_resume
    from orchestrator.workflow.single import as_single_trial, run_single

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

    # Quoted, so that it is the name as it was given: a plain 2026 would be a number, and a line's end be cut off.
    return load_spec(spec, [*sets, *([f"name={json.dumps(name)}"] if name is not None else [])])


def conclude(root: Path, study: str, as_json: bool, code: int) -> None:
    """Prints how a study stands, and leaves with its exit code."""
    from orchestrator.status.links import interface_lines
    from orchestrator.status.summary import status_of, summary_lines
    from orchestrator.study.paths import study_paths
    from orchestrator.study.study import view_study

    paths = study_paths(root, study)
    view = view_study(paths)
    if as_json:
        print_json(status_of(view))
    else:
        for line in [*summary_lines(view), *interface_lines(paths, view)]:
            out.print(line, markup=False)
    raise typer.Exit(code)
