"""Tables 1 and 2 as grids: each cell has our value, the published value and the difference.

A cell without a run says "not run". The coverage table (`tables_1_to_4`) says how comparable the others are.
"""

from orchestrator.report.page.document import Block, Row, Table, Text, number, signed, spread
from orchestrator.report.paper.comparison import modification_text
from orchestrator.report.runs import RunsByModel, ShownRun
from trainables import metrics
from trainables.evaluation import cross_domain
from trainables.metrics import cross_domain_metric
from trainables.models.traits import MODELS
from trainables.paper.published import TABLE_1_COLUMNS, published_error_pct, published_interpretability_pct

NOT_RUN = "not run"


def error_table(chosen: RunsByModel) -> Table:
    """Table 1: top-1 error in percent per model and data set."""
    rows = []
    for model in MODELS:
        cells = []
        for column in TABLE_1_COLUMNS:
            published = published_error_pct(model, column)
            trained_on, _, split = column.partition("-")
            on_stl10 = trained_on == cross_domain.EVALUATED_ON
            found = chosen.get((model, cross_domain.TRAINED_ON if on_stl10 else trained_on))
            metric = cross_domain_metric(trained_on, split, "index_") if on_stl10 else "final_test_error_pct"
            cells.append(_cell(found[1] if found else None, metric, published, 2))
        rows.append(Row((model, *cells)))
    return Table(
        "table-1",
        "Table 1, top-1 error in %. Each cell has our error (mean ± standard deviation, number of seeds in brackets), "
        "the paper's and the difference. STL10 columns: models trained on CIFAR-10, labels compared by number.",
        ("model", *TABLE_1_COLUMNS),
        tuple(rows),
    )


def score_table(chosen: RunsByModel) -> tuple[Block, ...]:
    """Table 2: interpretability scores in percent per modification, and a note on how to read them."""
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
            "Table 2, interpretability score in %: among the test images whose prediction stays the same, the share "
            "whose map does too (min-max maps). Each cell has our score, the paper's and the difference.",
            ("model, data", *(modification_text(name) for name in metrics.MODIFICATIONS)),
            tuple(rows),
        ),
        Text(
            "The paper gives neither threshold nor normalisation for Table 2, so the differences are only indicative.",
            "note",
        ),
    )


def _cell(run: ShownRun | None, metric: str, published: float | None, digits: int, *, seeds: bool = True) -> str:
    """Our value, the paper's and the difference, one per line."""
    ours = run.mean.get(metric) if run else None
    lines = []
    if run is None or ours is None:
        lines.append(NOT_RUN)
    else:
        runs = f" ({max(1, run.num_seeds)})" if seeds else ""
        lines.append(spread(ours, run.std.get(metric), digits) + runs)
    lines.append(f"paper {number(published)}" if published is not None else "not published")
    if ours is not None and published is not None:
        lines.append(signed(ours - published, digits))
    return "\n".join(lines)
