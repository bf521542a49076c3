"""Section "Trials": the table of all trials of the search, with its columns."""

from collections.abc import Sequence

from orchestrator.report.page.document import MISSING, Block, Row, Table, Text, number
from orchestrator.report.parameter_text import param_names, short_names, value_text
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import violations
from orchestrator.study.study import StudyView
from search_spaces.schema import SearchSpec

_METRIC_COLUMNS = (
    ("val error %", "val_error_pct", 2),
    ("test error %", "test_error_pct", 2),
    ("interp. centred %", "interp_centered_pct", 1),
    ("interp. min-max %", "interpretability_pct", 1),
    ("map std", "val_attention_std", 3),
)
"""Heading, metric and number of digits; after them comes one column per parameter."""


def trials_blocks(view: StudyView) -> tuple[Block, ...]:
    """The table, or a note if no trial has started."""
    trials = [*view.state.of_kind("search"), *view.state.of_kind("train")]
    return (trials_table(view.spec, trials),) if trials else (Text("No trial has been started.", "note"),)


def trials_table(spec: SearchSpec, records: Sequence[TrialRecord]) -> Table:
    """One row per trial in the order of start; trials that cannot be compared are grey and have a remark."""
    params = param_names(records)
    rows = []
    for record in records:
        state, remark = _state_and_remark(spec, record)
        metrics = (number(record.outcome.get(name), digits) for _, name, digits in _METRIC_COLUMNS)
        values = (value_text(record.params[name]) if name in record.params else MISSING for name in params)
        cells = (record.trial, state, str(record.epoch), *metrics, *values, remark)
        rows.append(Row(cells, faint=state != "completed"))
    headings = (heading for heading, _, _ in _METRIC_COLUMNS)
    return Table(
        "trials-table",
        f"The {len(records)} trials of the search. Metrics are those of each trial's best validation epoch. Grey "
        "trials were stopped, failed, are still running or break a constraint; they are not compared with the others.",
        ("trial", "state", "epochs", *headings, *short_names(params), "remark"),
        tuple(rows),
        frozenset({"state"}),
        frozenset({"remark"}),
    )


def _state_and_remark(spec: SearchSpec, record: TrialRecord) -> tuple[str, str]:
    """A trial's state, and the reason why it ended or cannot be compared."""
    if record.state != "completed":
        return record.state, record.reason
    broken = [rule for rule, excess in violations(spec, record.outcome).items() if excess > 0]
    if broken:
        return "infeasible", f"breaks the constraint {', '.join(broken)}"
    return "completed", record.reason
