"""Writes a study's report: one HTML page, the same as Markdown, and the trials as CSV; each file whole or as it was."""

import os
from pathlib import Path

from orchestrator.report.contents import contents
from orchestrator.report.markdown import markdown_page
from orchestrator.report.page import html_page
from orchestrator.report.pictures import draw_all
from orchestrator.report.subject import find_subject
from orchestrator.report.tables import trials_csv
from orchestrator.study import StudyView


def write_report(view: StudyView, study_folder: Path, out: Path) -> Path:
    """Writes `report.html`, `report.md` and `trials.csv` into `out`, and returns the page's path.

    The study may be running, or have nothing to show yet. `study_folder` holds the trials' checkpoints, of which the
    best run's last one gives the example images. Same study, same bytes.
    """
    subject = find_subject(view)
    report = contents(view, subject, draw_all(view, subject, study_folder / "trials"))
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / "trials.csv", trials_csv(list(view.state.trials.values())))
    _replace(out / "report.md", markdown_page(report))
    return _replace(out / "report.html", html_page(report))


def _replace(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path
