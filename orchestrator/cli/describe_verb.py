"""`aib describe`: sizes of models beside those in the paper."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.output import Json, Root, Sets, err, out, print_json
from orchestrator.options import DEFAULT_ROOT


def describe(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Name of the model; default: all models.")
    ] = None,
    root: Root = DEFAULT_ROOT,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Name of the data set; default: cifar10.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every model on every data set as a table.")] = False,
    sets: Sets = [],  # noqa: B006 - typer reads the default, never changed
    as_json: Json = False,
) -> None:
    """Show a model's size and cost, beside those in the paper."""
    from orchestrator.status.model_description import describe_all, describe_model

    if model is None or every:
        if model is not None or dataset is not None:
            raise typer.BadParameter(
                "all models and data sets are shown without MODEL and --dataset; give MODEL to show one, or neither."
            )
        everything = describe_all(root, sets)
        if as_json:
            print_json(everything)
        else:
            _table(everything)
        return
    found = describe_model(root, model, dataset or "cifar10", sets)
    if as_json:
        print_json(found)
    else:
        _one(found)


def _one(found: Mapping[str, Any]) -> None:
    side, paper = found["image_size"], found["paper"]
    out.print(
        f"{found['model']} on {found['dataset']}, {found['num_classes']} classes, {side} x {side} px, "
        f"recipe {found['recipe']}"
    )
    out.print(f"  parameters                 {found['parameters']:>15,}")
    out.print(f"  with BatchNorm statistics  {found['parameters_with_buffers']:>15,}")
    out.print(f"  multiply-accumulates       {found['macs']:>15,}  (one draw of a and of z)")
    for name, size in found["attention_maps"].items():
        out.print(f"  {f'{name} map':<26} {f'{size[0]} x {size[1]}':>15}")
    if not found["attention_maps"]:
        out.print("  no spatial map")
    if paper is None:
        out.print("  the paper's Tables 3 and 4 do not list it")
        return
    out.print("  the paper's Tables 3 and 4:")
    alike = f"here, counted alike, {paper['parameters_counted_alike'] / 1e6:.2f} M"
    out.print(f"    parameters  {paper['parameters_M']:.2f} M ({alike})")
    if paper["flops_G"] is not None:
        out.print(f"    FLOPs       {paper['flops_G']:.2f} G (here {found['macs'] / 1e9:.2f} G)")
        out.print(f"    time        {paper['ms_per_image']:.2f} ms per image on one {paper['timed_on']}")
    out.print(f"    {paper['note']}")


def _table(everything: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "data set", "classes", "px"):
        table.add_column(column)
    for column in ("parameters", "with BN", "GMAC", "map", "paper M", "alike M", "paper G", "paper ms"):
        table.add_column(column, justify="right")
    for found in everything["models"]:
        paper = found["paper"] or {}
        table.add_row(
            found["model"],
            found["dataset"],
            str(found["num_classes"]),
            str(found["image_size"]),
            f"{found['parameters']:,}",
            f"{found['parameters_with_buffers']:,}",
            f"{found['macs'] / 1e9:.2f}",
            ", ".join(f"{height} x {width}" for height, width in found["attention_maps"].values()),
            _number(paper.get("parameters_M")),
            _number(paper["parameters_counted_alike"] / 1e6 if paper else None),
            _number(paper.get("flops_G")),
            _number(paper.get("ms_per_image")),
        )
    out.print(table)
    out.print("paper: Tables 3 and 4. Why a count differs: aib describe MODEL --dataset D")
    for missing in everything["impossible"]:
        err.print(f"{missing['model']} on {missing['dataset']}: {missing['reason']}", markup=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
