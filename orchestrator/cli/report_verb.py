"""`aib report`: writes the report of one or several studies."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, Root, out, print_json
from orchestrator.options import DEFAULT_ROOT


def report(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of one or more studies.")],
    root: Root = DEFAULT_ROOT,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="Output folder; default: the study's own, or ROOT/reports/NAMES for several."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a report as HTML page, Markdown and CSV.

    It has the tables and figures of the search and those of the paper. Several studies
    share one set of the paper's tables; the sections of each study follow.
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
