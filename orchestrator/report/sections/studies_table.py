"""Section "Studies" of a report on several studies: one row per study."""

from collections.abc import Sequence

from orchestrator.report.page.document import MISSING, Row, Table, spread
from orchestrator.report.runs import choose_run
from orchestrator.report.sections.study_summary import registered_text, stage_text, trial_counts
from orchestrator.report.source import StudySource
from orchestrator.status.summary import status_of

_COUNTS = ("planned", "completed", "stopped", "failed", "running")


def studies_table(sources: Sequence[StudySource]) -> Table:
    rows = []
    for source in sources:
        status, run = status_of(source.view), choose_run(source.view)
        best = error = MISSING
        if run is not None:
            best = f"{run.config.model.name} on {run.config.data.name}"
            error = spread(run.mean.get("final_test_error_pct"), run.std.get("final_test_error_pct"))
        numbers = trial_counts(status)
        counts = (str(numbers[name]) for name in _COUNTS)
        rows.append(Row((source.name, stage_text(status), *counts, best, error, registered_text(status))))
    return Table(
        "studies-table",
        "The studies of this page.",
        ("study", "stage", *_COUNTS, "best", "test error %", "registered"),
        tuple(rows),
        frozenset({"stage", "best", "registered"}),
    )
