"""Verbs on models: evaluate, models, promote, pull, predict."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Address, Json, Root, TrackingUri, err, out, print_json
from orchestrator.options import DEFAULT_ROOT

Reference = Annotated[str, typer.Argument(metavar="NAME[@ALIAS]", help="Registered model; default alias: champion.")]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="models:/NAME@ALIAS, a pulled folder, or a study (its finalist at the gate, else its best trial).",
        ),
    ],
    root: Root = DEFAULT_ROOT,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Data set; default: the model's own.")] = None,
    interpretability: Annotated[
        bool,
        typer.Option("--interpretability", help="Also score the ten modifications of Table 2."),
    ] = False,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Measure a model's error on a test split.

    CIFAR-10 models are also measured on STL-10.
    """
    from orchestrator.registry.lookup import load_model
    from orchestrator.study.paths import data_root
    from trainables.evaluation.dataset import evaluate_model

    loaded = load_model(model, root, tracking_uri)
    study, trial = (loaded.facts.get(name) for name in ("study", "trial_id"))
    measured = evaluate_model(loaded, data_root(root), dataset, interpretability)
    found = {"model": model, "study": study, "trial": trial, **measured}
    if as_json:
        print_json(found)
        return
    which = f" (trial {trial} of study {study})" if trial else ""
    out.print(f"{model}{which} on {found['dataset']}, {found['num_images']} images")
    for name, value in found["metrics"].items():
        out.print(f"  {name} {value:.4g}")


def models(root: Root = DEFAULT_ROOT, tracking_uri: TrackingUri = None, as_json: Json = False) -> None:
    """List registered models with versions, aliases and metrics."""
    from rich.table import Table

    from orchestrator.process.redact import redact
    from orchestrator.registry.versions import list_versions
    from orchestrator.tracking.mlflow.store import tracking_uri_or_local

    uri = tracking_uri_or_local(root, tracking_uri)
    versions = list_versions(uri)
    if as_json:
        print_json({"models": [version._asdict() for version in versions]})
        return
    if not versions:
        err.print(
            f"nothing is registered in {redact(uri)} yet; a search registers its champion: aib search SPEC; for "
            "another registry, give --tracking-uri (or MLFLOW_TRACKING_URI)",
            markup=False,
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "version", "alias", "data set", "test error %", "interp %", "study"):
        table.add_column(column)
    for version in versions:
        tags = version.tags
        table.add_row(
            version.name,
            version.version,
            version.alias or "",
            tags.get("aib.data", ""),
            tags.get("aib.metric.final_test_error_pct", ""),
            tags.get("aib.metric.interp_centered_pct", ""),
            tags.get("aib.study", ""),
        )
    out.print(table)


def promote(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study whose finalists are done.")],
    root: Root = DEFAULT_ROOT,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Run the gate again for a finished study's best finalist.

    Compares it with the current champion, and makes it the champion if it passes.
    """
    from orchestrator.cli.search_verbs import conclude
    from orchestrator.options import RunOptions
    from orchestrator.workflow.promote import promote_study

    options = RunOptions(root=root, tracking_uri=tracking_uri, address=address)
    conclude(root, study, as_json, promote_study(study, options, err))


def pull(
    name: Reference,
    to: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.")],
    root: Root = DEFAULT_ROOT,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Download a registered model into a folder.

    The folder holds safetensors, configuration, model card and manifest.
    """
    from orchestrator.registry.pull import pull as pull_model
    from orchestrator.tracking.mlflow.store import tracking_uri_or_local

    folder = pull_model(tracking_uri_or_local(root, tracking_uri), name, to)
    if as_json:
        print_json({"model": name, "folder": str(folder), "files": sorted(path.name for path in folder.iterdir())})
    else:
        out.print(f"{name} is in {folder}")


def predict(
    name: Reference,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    root: Root = DEFAULT_ROOT,
    to: Annotated[Path, typer.Option("--out", help="Folder for the attention overlays.")] = Path("predictions"),
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Classify images, and draw the model's attention over them."""
    from orchestrator.registry.predict import predict_images
    from orchestrator.registry.pull import load_registered
    from orchestrator.tracking.mlflow.store import tracking_uri_or_local
    from trainables.runtime.printable import printable_line

    version, loaded = load_registered(tracking_uri_or_local(root, tracking_uri), name)
    predictions = predict_images(loaded, images, to)
    for prediction in predictions:
        for note in prediction.notes:
            err.print(f"note: {prediction.image}: {note}", markup=False)
    if as_json:
        print_json(
            {"model": version.name, "version": version.version, "predictions": [p.to_dict() for p in predictions]}
        )
        return
    for prediction in predictions:
        where = f", attention in {prediction.attention_png}" if prediction.attention_png else ""
        out.print(f"{prediction.image}: {printable_line(prediction.label)} ({prediction.probability:.1%}){where}")
