"""Writes the report of one or several studies: one HTML page, the same as Markdown, and the trials as CSV; each file
whole or as it was."""

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.report.page.html import html_page
from orchestrator.report.page.markdown import markdown_page
from orchestrator.report.sections.contents import studies_report, study_report
from orchestrator.report.source import StudySource
from orchestrator.report.tables import trials_csv
from trainables.runtime.atomic_file import replace_file

FILES = ("report.html", "report.md", "trials.csv")


def write_report(sources: Sequence[StudySource], out: Path) -> Path:
    """Writes FILES into `out`, and returns the page's path.

    A study may be running, or have nothing to show yet. Same studies, same bytes.
    """
    report = study_report(sources[0]) if len(sources) == 1 else studies_report(sources)
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / "trials.csv", trials_csv({s.name: list(s.view.state.trials.values()) for s in sources}))
    _replace(out / "report.md", markdown_page(report))
    return _replace(out / "report.html", html_page(report))


def _replace(path: Path, text: str) -> Path:
    replace_file(path, text, aside=path.with_name(f".{path.name}.{os.getpid()}"))
    return path
