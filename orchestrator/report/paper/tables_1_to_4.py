"""The article's Tables 1 to 4 as grids: ours over the published value and the difference in every cell.

A cell that no study has run says so; how far the others may be compared stands in the table of coverage.
"""

from collections.abc import Sequence

from orchestrator.report.page.document import Block, Row, Table, Text, number, signed, spread
from orchestrator.report.paper.comparison import departures, modification_words
from orchestrator.report.paper.size_tables import NOT_RUN, size_tables
from orchestrator.report.runs import Chosen, Seen, Subject, most_thorough
from trainables import metrics
from trainables.evaluation import cross_domain
from trainables.metrics import cross_domain_metric
from trainables.models.traits import MODELS
from trainables.paper.published import (
    TABLE_1_COLUMNS,
    published_error_pct,
    published_interpretability_pct,
)


def paper_table_blocks(subjects: Sequence[tuple[str, Subject]], runs: Sequence[Seen]) -> tuple[Block, ...]:
    """Tables 1 to 4 and their coverage; `subjects` with the study of each, `runs` those whose checkpoints are here."""
    chosen = most_thorough(subjects)
    if not chosen:
        return (Text("No trial has run to its last epoch within every constraint, so every cell is not run.", "note"),)
    hardware = {run.subject.shown.trial: run.stored.hardware for run in runs}
    return (
        _coverage_text(chosen),
        _errors(chosen),
        *_scores(chosen),
        *size_tables(chosen, hardware),
        _coverage(chosen),
    )


def _errors(chosen: Chosen) -> Table:
    rows = []
    for model in MODELS:
        cells = []
        for column in TABLE_1_COLUMNS:
            published = published_error_pct(model, column)
            trained_on, _, split = column.partition("-")
            crossing = trained_on == cross_domain.EVALUATED_ON
            found = chosen.get((model, cross_domain.TRAINED_ON if crossing else trained_on))
            metric = cross_domain_metric(trained_on, split, "index_") if crossing else "final_test_error_pct"
            cells.append(_cell(found[1] if found else None, metric, published, 2))
        rows.append(Row((model, *cells)))
    return Table(
        "table-1",
        "Table 1, top-1 error in %. In each cell ours (mean ± standard deviation over the seeds in brackets), the "
        "paper's, and the difference. STL10 columns: models trained on CIFAR-10, labels compared by number.",
        ("model", *TABLE_1_COLUMNS),
        tuple(rows),
    )


def _scores(chosen: Chosen) -> tuple[Block, ...]:
    rows = []
    for model in MODELS:
        for dataset in ("cifar10", "cifar100"):
            published = published_interpretability_pct(model, dataset)
            found = chosen.get((model, dataset))
            if not published and (found is None or "test_interpretability_pct" not in found[1].mean):
                continue
            cells = (
                _cell(found[1] if found else None, f"test_{name}_pct", published.get(name), 1, seeds=False)
                for name in metrics.MODIFICATIONS
            )
            rows.append(Row((f"{model}, {dataset}", *cells)))
    return (
        Table(
            "table-2",
            "Table 2, interpretability score in %: share of test images whose map stays consistent (min-max maps) "
            "among those whose prediction does. In each cell ours, the paper's, and the difference.",
            ("model, data", *(modification_words(name) for name in metrics.MODIFICATIONS)),
            tuple(rows),
        ),
        Text(
            "The paper gives neither threshold nor normalisation of Table 2; these differences are indicative only.",
            "note",
        ),
    )


def _cell(subject: Subject | None, metric: str, published: float | None, digits: int, *, seeds: bool = True) -> str:
    """Ours, the paper's, the difference, a line each."""
    ours = subject.mean.get(metric) if subject else None
    lines = []
    if subject is None or ours is None:
        lines.append(NOT_RUN)
    else:
        runs = f" ({max(1, subject.num_seeds)})" if seeds else ""
        lines.append(spread(ours, subject.std.get(metric), digits) + runs)
    lines.append(f"paper {number(published)}" if published is not None else "not published")
    if ours is not None and published is not None:
        lines.append(signed(ours - published, digits))
    return "\n".join(lines)


def _coverage_text(chosen: Chosen) -> Text:
    published = [
        (model, column)
        for model in MODELS
        for column in TABLE_1_COLUMNS
        if published_error_pct(model, column) is not None and not column.startswith(cross_domain.EVALUATED_ON)
    ]
    ran = [key for key in published if key in chosen]
    full = [key for key in ran if not departures(chosen[key][1].config)]
    return Text(
        f"Of the {len(published)} models and data sets that the paper trains, {len(ran)} have been run here, "
        f"{len(full)} of them at the paper's full size and length.",
        "plain" if len(full) == len(ran) else "warning",
    )


def _coverage(chosen: Chosen) -> Table:
    rows = []
    for (model, dataset), (study, subject) in chosen.items():
        config = subject.config
        changed = departures(config)
        rows.append(
            Row(
                (
                    f"{model}, {dataset}",
                    f"{study}, {subject.trial}",
                    str(max(1, subject.num_seeds)),
                    str(config.epochs),
                    "all" if config.data.train_images is None else f"{config.data.train_images:,}",
                    f"{config.model.width:g}",
                    "as in the paper" if not changed else " ".join(changed),
                )
            )
        )
    return Table(
        "coverage",
        "What stands behind the cells above: the run of each model with the largest budget, and where it departs from "
        "the paper's recipe.",
        ("model, data", "study, trial", "seeds", "epochs", "training images", "width", "departures"),
        tuple(rows),
        frozenset({"study, trial"}),
        frozenset({"departures"}),
    )
