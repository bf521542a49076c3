"""The article's Tables 1 to 4 as grids: ours over the published value and the difference in every cell.

A cell that no study has run says so; how far the others may be compared stands in the table of coverage.
"""

from collections.abc import Sequence
from functools import lru_cache

from orchestrator.published import (
    TABLE_1_COLUMNS,
    TABLE_3_INPUTS,
    published_error_pct,
    published_interpretability_pct,
    published_size,
)
from orchestrator.report.comparison import departures, modification_words
from orchestrator.report.document import MISSING, Block, Row, Table, Text, number, signed, spread
from orchestrator.report.maps_section import Seen
from orchestrator.report.subject import Subject
from orchestrator.size_comparison import TIMED_ON, compare_sizes
from trainables import cross_domain, metrics
from trainables.config import TrialConfig
from trainables.data.catalog import KNOWN
from trainables.metrics import cross_domain_metric
from trainables.models.counts import ModelCounts, count
from trainables.models.traits import MODELS

NOT_RUN, NOT_MEASURED = "not run", "not measured"


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
        *_sizes(chosen, hardware),
        _coverage(chosen),
    )


def most_thorough(subjects: Sequence[tuple[str, Subject]]) -> dict[tuple[str, str], tuple[str, Subject]]:
    """By model and data set the one that was trained longest, on most images, over most seeds; then the better one."""

    def rank(item: tuple[str, Subject]) -> tuple[float, ...]:
        subject = item[1]
        images = subject.config.data.train_images
        full = float("inf") if images is None else float(images)
        error = subject.mean.get("final_val_error_pct", float("inf"))
        return subject.config.model.width, subject.config.epochs, full, subject.num_seeds, -error

    chosen: dict[tuple[str, str], tuple[str, Subject]] = {}
    for item in subjects:
        key = (item[1].config.model.name, item[1].config.data.name)
        if key not in chosen or rank(item) > rank(chosen[key]):
            chosen[key] = item
    return chosen


Chosen = dict[tuple[str, str], tuple[str, Subject]]


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


def _sizes(chosen: Chosen, hardware: dict[str, str]) -> tuple[Block, ...]:
    """Tables 3 and 4. Counting a network needs no training, but only those that were run are counted."""
    parameters, costs = [], []
    for (side, num_classes), datasets in TABLE_3_INPUTS.items():
        for model in MODELS:
            published = published_size(model, side, num_classes)
            found = next((chosen[model, dataset] for dataset in datasets if (model, dataset) in chosen), None)
            if published is None:
                continue
            name = f"{model}, {side} x {side}, {num_classes} classes"
            if found is None:
                paper = (number(published.parameters_M), MISSING)
                parameters.append(Row((name, NOT_RUN, NOT_RUN, *paper), faint=True))
                if published.flops_G is not None:
                    costs.append(_not_run_cost(name, published.flops_G, published.ms_per_image))
                continue
            subject = found[1]
            config = subject.config
            as_published = TrialConfig.from_dict(
                {"recipe": config.recipe, "model": model, "dataset": config.data.name, "data.image_size": side}
            )
            full, ours = _counted(as_published), _counted(subject.config)
            compared = compare_sizes(as_published, num_classes, full)
            alike = compared["parameters_counted_alike"] / 1e6 if compared else full.parameters / 1e6
            parameters.append(
                Row(
                    (
                        name,
                        f"{ours.parameters / 1e6:.2f} (width {subject.config.model.width:g})",
                        number(alike),
                        number(published.parameters_M),
                        signed(alike - published.parameters_M),
                    )
                )
            )
            if published.flops_G is not None:
                ours_ms = subject.mean.get("inference_ms_per_image")
                costs.append(
                    Row(
                        (
                            name,
                            f"{full.macs / 1e9:.2f}",
                            number(published.flops_G),
                            signed(full.macs / 1e9 - published.flops_G),
                            NOT_MEASURED if ours_ms is None else f"{ours_ms:.2f} (width {config.model.width:g})",
                            number(published.ms_per_image),
                            hardware.get(subject.shown.trial, "not recorded"),
                        )
                    )
                )
    heads = ("model, input", "trained here", "at the paper's size", "paper", "difference")
    return (
        Table(
            "table-3",
            "Table 3, parameters in millions. The network as it was trained here, and the recipe's own counted "
            "as the table counts that row (its VGG-aib rows include BatchNorm statistics), beside the paper's.",
            heads,
            tuple(parameters),
        ),
        Table(
            "table-4",
            "Table 4, multiply-accumulates in G of one draw of a and one of z at the paper's size, and milliseconds of "
            f"one image alone as it was trained here; the paper's were measured on one {TIMED_ON}.",
            ("model, input", "MACs", "paper", "difference", "ms an image", "paper's ms", "measured on"),
            tuple(costs),
            prose_columns=frozenset({"measured on"}),
        ),
        Text(
            "Table 4's WRN rows count modules that were registered under two names several times over; counted once, "
            "as here, they cost about a third.",
            "note",
        ),
    )


def _not_run_cost(name: str, flops_G: float, ms: float | None) -> Row:
    return Row((name, NOT_RUN, number(flops_G), MISSING, NOT_RUN, number(ms), MISSING), faint=True)


@lru_cache(maxsize=128)
def _counted_once(key: tuple[tuple[str, object], ...], num_classes: int) -> ModelCounts:
    flat = {name: list(value) if isinstance(value, tuple) else value for name, value in key}
    return count(TrialConfig.from_dict(flat), num_classes)


def _counted(config: TrialConfig) -> ModelCounts:
    """Counts once for all trials of one network: what bears on its size is the model's part of a trial."""
    shaping = ("model.", "attention.", "bottleneck.", "data.name", "data.image_size", "data.stored_size", "recipe")
    key = tuple((name, value) for name, value in config.to_dict().items() if name.startswith(shaping))
    return _counted_once(key, KNOWN[config.data.name].num_classes)


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
