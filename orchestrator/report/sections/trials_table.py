"""The tables of one study: its trials, its finalists, and every trial with every metric for a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.report.page.document import MISSING, Row, Table, number, spread
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import violations
from search_spaces.schema import SearchSpec

_TRIAL_METRICS = (
    ("val error %", "val_error_pct", 2),
    ("test error %", "test_error_pct", 2),
    ("interp. centred %", "interp_centered_pct", 1),
    ("interp. min-max %", "interpretability_pct", 1),
    ("map std", "val_attention_std", 3),
)


def trials_table(spec: SearchSpec, records: Sequence[TrialRecord]) -> Table:
    """Every trial of the search in the order of its start; what may not be compared is faint and says why."""
    params = param_names(records)
    rows = []
    for record in records:
        state, why = verdict(spec, record)
        metrics = (number(record.outcome.get(name), digits) for _, name, digits in _TRIAL_METRICS)
        values = (shown(record.params[name]) if name in record.params else MISSING for name in params)
        rows.append(Row((record.trial, state, str(record.epoch), *metrics, *values, why), faint=state != "completed"))
    heads = (heading for heading, _, _ in _TRIAL_METRICS)
    return Table(
        "trials-table",
        f"The {len(records)} trials of the search. Metrics are those of each trial's best validation epoch; what was "
        "stopped, failed, is still running or breaks a constraint is greyed and is not compared with the rest.",
        ("trial", "state", "epochs", *heads, *short_names(params), "remark"),
        tuple(rows),
        frozenset({"state"}),
        frozenset({"remark"}),
    )


def verdict(spec: SearchSpec, record: TrialRecord) -> tuple[str, str]:
    """A trial's state, and why it is not compared with others or how it ended."""
    if record.state != "completed":
        return record.state, record.reason
    broken = [rule for rule, excess in violations(spec, record.outcome).items() if excess > 0]
    if broken:
        return "infeasible", f"breaks the constraint {', '.join(broken)}"
    return "completed", record.reason


def finalists_table(rows: Sequence[Mapping[str, Any]], chosen: str | None) -> Table:
    """One row for each finalist as `summary.finalist_rows` gives it; `chosen` is the best one's search trial."""
    return Table(
        "finalists-table",
        "Finalists, retrained in full: mean ± standard deviation over seeds, of the best validation epoch's weights "
        "under many-sample evaluation. Interpretability is scored on validation images; chance is the same score "
        "between maps of different images.",
        (
            "finalist",
            "seeds",
            "val error %",
            "test error %",
            "interp. centred % (chance)",
            "interp. min-max % (chance)",
            "map std",
            "attention in mask % (mask's area)",
            "parameters",
        ),
        tuple(_finalist(row, row["of"] == chosen) for row in rows),
        frozenset({"seeds"}),
        frozenset({"parameters"}),
    )


def _finalist(row: Mapping[str, Any], chosen: bool) -> Row:
    def cell(name: str, digits: int = 2) -> str:
        return spread(row["mean"].get(name), row["std"].get(name), digits)

    def beside(name: str, level: str) -> str:
        return f"{cell(name, 1)} ({number(row['mean'][level], 1)})" if level in row["mean"] else cell(name, 1)

    seeds = ", ".join(map(str, row["seeds"]))
    unfinished = "" if row["completed"] == len(row["seeds"]) else f" ({row['completed']} of {len(row['seeds'])} done)"
    return Row(
        (
            f"{row['of']} (best)" if chosen else row["of"],
            seeds + unfinished,
            cell("final_val_error_pct"),
            cell("final_test_error_pct"),
            beside("interp_centered_pct", "interp_centered_chance_pct"),
            beside("interpretability_pct", "interp_chance_pct"),
            cell("final_val_attention_std", 3),
            beside("attention_in_mask_pct", "mask_area_pct"),
            shown_params(row["params"]),
        ),
        faint=row["completed"] == 0,
    )


def trials_csv(studies: Mapping[str, Sequence[TrialRecord]]) -> str:
    """Every trial of each study by name, finalists included, one line each: identity, `params.KEY` and every metric
    that it is judged by."""
    everything = [record for records in studies.values() for record in records]
    params = param_names(everything)
    metrics = sorted({name for record in everything for name in record.outcome} - {"epoch"})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    identity = ("study", "trial", "kind", "of", "state", "reason", "epoch", "seed")
    writer.writerow([*identity, *(f"params.{name}" for name in params), *metrics])
    for study, records in studies.items():
        for record in records:
            outcome = record.outcome
            known = (record.trial, record.kind, record.of, record.state, record.reason, record.epoch, record.seed)
            values = (record.params.get(name) for name in params)
            writer.writerow([study, *known, *values, *(outcome.get(name) for name in metrics)])
    return text.getvalue()


def param_names(records: Iterable[TrialRecord]) -> list[str]:
    """The dotted keys that vary, in the order in which trials name them."""
    return list(dict.fromkeys(name for record in records for name in record.params))


def short_names(names: Sequence[str]) -> list[str]:
    """The last part of each dotted key, or all of it where two keys end alike."""
    leaves = [name.rsplit(".", 1)[-1] for name in names]
    return [name if leaves.count(leaf) > 1 else leaf for name, leaf in zip(names, leaves, strict=True)]


def shown_params(params: Mapping[str, Any]) -> str:
    named = zip(short_names(list(params)), params.values(), strict=True)
    return ", ".join(f"{name} = {shown(value)}" for name, value in named) or MISSING


def shown(value: object) -> str:
    """A parameter's value for people: four significant digits."""
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
