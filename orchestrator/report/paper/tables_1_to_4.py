"""Section "The paper's tables": Tables 1 to 4, and the coverage table of the runs behind their cells."""

from collections.abc import Sequence

from orchestrator.report.page.document import Block, Row, Table, Text
from orchestrator.report.paper.recipe_differences import differences_from_paper
from orchestrator.report.paper.tables_1_and_2 import error_table, score_table
from orchestrator.report.paper.tables_3_and_4 import size_tables
from orchestrator.report.runs import RunsByModel, ShownRun, StoredRun, largest_budget
from trainables.evaluation import cross_domain
from trainables.models.traits import MODELS
from trainables.paper.published import TABLE_1_COLUMNS, published_error_pct


def paper_table_blocks(runs: Sequence[tuple[str, ShownRun]], stored: Sequence[StoredRun]) -> tuple[Block, ...]:
    """Tables 1 to 4 and their coverage.

    `runs` pairs each run with its study's name; `stored` are the runs whose checkpoints could be read.
    """
    chosen = largest_budget(runs)
    if not chosen:
        text = "No trial has run to its last epoch within every constraint, so all cells are: not run."
        return (Text(text, "note"),)
    hardware = {run.shown.record.trial: run.checkpoint.hardware for run in stored}
    return (
        _coverage_text(chosen),
        error_table(chosen),
        *score_table(chosen),
        *size_tables(chosen, hardware),
        _coverage(chosen),
    )


def _coverage_text(chosen: RunsByModel) -> Text:
    published = [
        (model, column)
        for model in MODELS
        for column in TABLE_1_COLUMNS
        if published_error_pct(model, column) is not None and not column.startswith(cross_domain.EVALUATED_ON)
    ]
    ran = [key for key in published if key in chosen]
    full = [key for key in ran if not differences_from_paper(chosen[key][1].config)]
    return Text(
        f"The paper trains {len(published)} pairs of model and data set. Of these, {len(ran)} have been run here, "
        f"{len(full)} of them at the paper's full size and length.",
        "plain" if len(full) == len(ran) else "warning",
    )


def _coverage(chosen: RunsByModel) -> Table:
    rows = []
    for (model, dataset), (study, run) in chosen.items():
        config = run.config
        changed = differences_from_paper(config)
        rows.append(
            Row(
                (
                    f"{model}, {dataset}",
                    f"{study}, {run.trial}",
                    str(max(1, run.num_seeds)),
                    str(config.epochs),
                    "all" if config.data.train_images is None else f"{config.data.train_images:,}",
                    f"{config.model.width:g}",
                    "as in the paper" if not changed else " ".join(changed),
                )
            )
        )
    return Table(
        "coverage",
        "The runs behind the cells above: for each model and data set the run with the largest budget, and its "
        "differences from the paper's recipe.",
        ("model, data", "study, trial", "seeds", "epochs", "training images", "width", "differences"),
        tuple(rows),
        frozenset({"study, trial"}),
        frozenset({"differences"}),
    )
