"""Writes a report's three files: an HTML page, the same text as Markdown, and all trials as CSV."""

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.report.contents import studies_report, study_report
from orchestrator.report.page.html import html_page
from orchestrator.report.page.markdown import markdown_page
from orchestrator.report.source import StudySource
from orchestrator.report.trials_csv import trials_csv
from trainables.runtime.atomic_file import replace_file

FILES = ("report.html", "report.md", "trials.csv")


def write_report(sources: Sequence[StudySource], out: Path) -> Path:
    """Writes FILES into `out` and returns the path of the HTML page.

    Works for running and for empty studies too. The same studies give the same bytes. Each file is replaced at once,
    so a reader never sees half a file.
    """
    report = study_report(sources[0]) if len(sources) == 1 else studies_report(sources)
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / "trials.csv", trials_csv({s.name: list(s.view.state.trials.values()) for s in sources}))
    _replace(out / "report.md", markdown_page(report))
    return _replace(out / "report.html", html_page(report))


def _replace(path: Path, text: str) -> Path:
    replace_file(path, text, aside=path.with_name(f".{path.name}.{os.getpid()}"))
    return path
