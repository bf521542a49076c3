"""`aib gc`: frees storage."""

from typing import Annotated

import typer

from orchestrator.cli.output import Json, Root, out, print_json
from orchestrator.cli.study_verbs import StudyName
from orchestrator.options import DEFAULT_ROOT


def gc(
    study: StudyName,
    root: Root = DEFAULT_ROOT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a study's files that no command reads any more.

    These are old checkpoints and files of interrupted writes. Keeps everything that --resume,
    promote, evaluate and report read. Refuses a running study (exit code 3).
    """
    from orchestrator.cleanup.collect import collect
    from orchestrator.study.paths import study_paths

    found = collect(study_paths(root, study), dry_run)
    if as_json:
        print_json(found.to_json(dry_run))
        return
    for removal in found.removals:
        out.print(f"{removal.what}  {_size(removal.num_bytes)}  {removal.why}", markup=False)
    for kept in found.kept:
        out.print(f"kept {kept.trial}: {', '.join(kept.checkpoints)}, {kept.why}", markup=False)
    verb = "would be removed" if dry_run else "removed"
    count = len(found.removals)
    out.print(f"{study}: {count} item{'s' * (count != 1)}, {_size(found.num_bytes)} {verb}", markup=False)


def _size(num_bytes: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} B"
