"""Tables 3 and 4: parameters, multiply-accumulates and time per image, ours beside the paper's."""

from functools import lru_cache

from orchestrator.report.page.document import MISSING, Block, Row, Table, Text, number, signed
from orchestrator.report.paper.tables_1_and_2 import NOT_RUN
from orchestrator.report.runs import RunsByModel
from trainables.config.trial import TrialConfig
from trainables.data.catalog import KNOWN_DATASETS
from trainables.models.counts import ModelCounts, count
from trainables.models.traits import MODELS
from trainables.paper.published import TABLE_3_INPUTS, published_size
from trainables.paper.sizes import TIMED_ON, compare_sizes

_NOT_MEASURED = "not measured"


def size_tables(chosen: RunsByModel, hardware: dict[str, str]) -> tuple[Block, ...]:
    """Tables 3 and 4, for the models that were run; `hardware` maps a trial to the device it ran on."""
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
            run = found[1]
            config = run.config
            as_published = TrialConfig.from_dict(
                {"recipe": config.recipe, "model": model, "dataset": config.data.name, "data.image_size": side}
            )
            full, ours = _counted(as_published), _counted(run.config)
            compared = compare_sizes(as_published, num_classes, full)
            alike = compared["parameters_counted_alike"] / 1e6 if compared else full.parameters / 1e6
            parameters.append(
                Row(
                    (
                        name,
                        f"{ours.parameters / 1e6:.2f} (width {run.config.model.width:g})",
                        number(alike),
                        number(published.parameters_M),
                        signed(alike - published.parameters_M),
                    )
                )
            )
            if published.flops_G is not None:
                ours_ms = run.mean.get("inference_ms_per_image")
                costs.append(
                    Row(
                        (
                            name,
                            f"{full.macs / 1e9:.2f}",
                            number(published.flops_G),
                            signed(full.macs / 1e9 - published.flops_G),
                            _NOT_MEASURED if ours_ms is None else f"{ours_ms:.2f} (width {config.model.width:g})",
                            number(published.ms_per_image),
                            hardware.get(run.record.trial, "not recorded"),
                        )
                    )
                )
    heads = ("model, input", "trained here", "at the paper's size", "paper", "difference")
    return (
        Table(
            "table-3",
            "Table 3, parameters in millions. First the network as trained here, then the network of the recipe, "
            "counted as the paper counts that row (its VGG-aib rows include BatchNorm statistics), then the "
            "paper's.",
            heads,
            tuple(parameters),
        ),
        Table(
            "table-4",
            "Table 4, multiply-accumulates in G for one draw of a and one of z at the paper's size, and milliseconds "
            f"per image at batch size 1 for the network as trained here; the paper measured on one {TIMED_ON}.",
            ("model, input", "MACs", "paper", "difference", "ms per image", "paper's ms", "measured on"),
            tuple(costs),
            prose_columns=frozenset({"measured on"}),
        ),
        Text(
            "Table 4's WRN rows count modules that are registered under two names more than once. Counted once, as "
            "here, they cost about a third.",
            "note",
        ),
    )


def _not_run_cost(name: str, flops_G: float, ms: float | None) -> Row:
    return Row((name, NOT_RUN, number(flops_G), MISSING, NOT_RUN, number(ms), MISSING), faint=True)


@lru_cache(maxsize=128)
def _cached_count(key: tuple[tuple[str, object], ...], num_classes: int) -> ModelCounts:
    flat = {name: list(value) if isinstance(value, tuple) else value for name, value in key}
    return count(TrialConfig.from_dict(flat), num_classes)


def _counted(config: TrialConfig) -> ModelCounts:
    """Counts each network once: only the model's part of the configuration affects its size."""
    size_fields = ("model.", "attention.", "bottleneck.", "data.name", "data.image_size", "data.stored_size", "recipe")
    key = tuple((name, value) for name, value in config.to_dict().items() if name.startswith(size_fields))
    return _cached_count(key, KNOWN_DATASETS[config.data.name].num_classes)
