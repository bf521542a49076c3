"""Section "Finalists": the table of finalists with mean and spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.page.document import Block, Row, Table, Text, number, spread
from orchestrator.report.parameter_text import params_text
from orchestrator.report.runs import ShownRun


def finalists_blocks(rows: Sequence[Mapping[str, Any]], run: ShownRun | None) -> tuple[Block, ...]:
    """The table of `summary.finalist_rows`, or a note if no finalist was retrained."""
    if not rows:
        text = "No finalist has been retrained."
        return (Text(f"{text} The sections below show the best single run." if run else text, "note"),)
    return (finalists_table(rows, run.trial if run and run.num_seeds else None),)


def finalists_table(rows: Sequence[Mapping[str, Any]], best: str | None) -> Table:
    """One row per finalist; `best` is the search trial of the best one."""
    return Table(
        "finalists-table",
        "Finalists, retrained at full length: mean ± standard deviation over seeds, for the weights of the best "
        "validation epoch under many-sample evaluation. Interpretability is scored on validation images; chance is "
        "the same score between maps of different images.",
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
        tuple(_row(row, row["of"] == best) for row in rows),
        frozenset({"seeds"}),
        frozenset({"parameters"}),
    )


def _row(row: Mapping[str, Any], is_best: bool) -> Row:
    def cell(name: str, digits: int = 2) -> str:
        return spread(row["mean"].get(name), row["std"].get(name), digits)

    def with_reference(name: str, reference: str) -> str:
        """A metric, with the value to compare it with in brackets."""
        known = reference in row["mean"]
        return f"{cell(name, 1)} ({number(row['mean'][reference], 1)})" if known else cell(name, 1)

    seeds = ", ".join(map(str, row["seeds"]))
    unfinished = "" if row["completed"] == len(row["seeds"]) else f" ({row['completed']} of {len(row['seeds'])} done)"
    return Row(
        (
            f"{row['of']} (best)" if is_best else row["of"],
            seeds + unfinished,
            cell("final_val_error_pct"),
            cell("final_test_error_pct"),
            with_reference("interp_centered_pct", "interp_centered_chance_pct"),
            with_reference("interpretability_pct", "interp_chance_pct"),
            cell("final_val_attention_std", 3),
            with_reference("attention_in_mask_pct", "mask_area_pct"),
            params_text(row["params"]),
        ),
        faint=row["completed"] == 0,
    )
