"""`aib describe`: a model's size beside the paper's figures."""

from typing import Annotated

import typer

from orchestrator.cli.output import DEFAULT_ROOT, Json, Root, Sets, out, print_json


def describe(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")],
    root: Root = DEFAULT_ROOT,
    dataset: Annotated[str, typer.Option("--dataset", help="Name of the data set.")] = "cifar10",
    sets: Sets = [],  # noqa: B006 - typer reads the default, nobody changes it
    as_json: Json = False,
) -> None:
    """Parameters, multiply-accumulates and map size of a model, and what the paper gives for it."""
    from orchestrator.description import describe_model

    found = describe_model(root, model, dataset, sets)
    if as_json:
        print_json(found)
        return
    out.print(f"{found['model']} on {found['dataset']}, {found['num_classes']} classes, recipe {found['recipe']}")
    out.print(f"  parameters                 {found['parameters']:>15,}")
    out.print(f"  with BatchNorm statistics  {found['parameters_with_buffers']:>15,}")
    out.print(f"  multiply-accumulates       {found['macs']:>15,}  (one draw of a and of z)")
    for name, (height, width) in found["maps"].items():
        out.print(f"  map {name:<22} {f'{height} x {width}':>15}")
    if not found["maps"]:
        out.print(f"  map {'none':>38}")
    if found["paper"]:
        out.print("  the paper's Tables 3 and 4:")
        for name, value in found["paper"].items():
            out.print(f"    {name}: {value}")
