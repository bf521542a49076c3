"""`aib report`: a study as a page."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import DEFAULT_ROOT, Json, Root, out, print_json


def report(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")],
    root: Root = DEFAULT_ROOT,
    to: Annotated[Path | None, typer.Option("--out", help="Folder for the page; default: the study's own.")] = None,
    as_json: Json = False,
) -> None:
    """Tables and figures of a study as one self-contained HTML page, and as Markdown and CSV."""
    from orchestrator.report.write import write_report
    from orchestrator.study import view_study
    from orchestrator.study_paths import study_paths

    paths = study_paths(root, study)
    page = write_report(view_study(paths), paths.folder, to or paths.report)
    if as_json:
        print_json({"study": study, "report": str(page)})
    else:
        out.print(f"report: {page}")
