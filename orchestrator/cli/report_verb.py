"""`aib report`: one study or several as a page."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, Root, out, print_json
from orchestrator.options import DEFAULT_ROOT


def report(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of the studies, one or more.")],
    root: Root = DEFAULT_ROOT,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the page; default: the study's own, of several ROOT/reports/NAMES."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The paper's tables and figures and those of the search as one self-contained HTML page, Markdown and CSV.

    Several studies share one set of the paper's tables; then each follows by itself.
    """
    from orchestrator.report.source import StudySource
    from orchestrator.report.write import write_report
    from orchestrator.study.paths import reports_folder, study_paths

    paths = [study_paths(root, study) for study in dict.fromkeys(studies)]
    sources = [StudySource.of(one) for one in paths]
    default = paths[0].report if len(paths) == 1 else reports_folder(root, [source.name for source in sources])
    page = write_report(sources, to or default)
    if as_json:
        print_json({"study": studies[0], "studies": [source.name for source in sources], "report": str(page)})
    else:
        out.print(f"report: {page}")
