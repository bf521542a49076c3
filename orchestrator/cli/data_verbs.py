"""Verbs of `aib data`: list, prepare, show."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, Root, err, out, print_json
from orchestrator.options import DEFAULT_ROOT

app = typer.Typer(help="Data sets: list, prepare, show.", no_args_is_help=True)

SKIPPED_SHOWN = 20
"""Maximum number of bad rows that are printed."""

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set.")]
ImageSize = Annotated[int | None, typer.Option("--image-size", help="Side of the square images in pixels.")]


@app.command("list")
def list_datasets(root: Root = DEFAULT_ROOT, as_json: Json = False) -> None:
    """List known and prepared data sets."""
    from rich.table import Table

    from orchestrator.status.dataset_description import list_datasets as list_rows
    from trainables.data.catalog import KNOWN_DATASETS, PARQUET

    rows = list_rows(root)
    if as_json:
        print_json({"datasets": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("data set", "size", "prepared", "images, or where to get them", "--from takes"):
        table.add_column(column)
    for row in rows:
        counts = row.get("num_images")
        detail = ", ".join(f"{n} {split}" for split, n in counts.items()) if isinstance(counts, dict) else row["obtain"]
        prepared_or_not = "yes" if row["prepared"] else "no"
        entry = KNOWN_DATASETS.get(str(row["dataset"]))
        takes = "Parquet" if entry is None else f"{entry.official}; or Parquet" if entry.official else "nothing"
        table.add_row(str(row["dataset"]), str(row["image_size"]), prepared_or_not, str(detail), takes)
    out.print(table)
    out.print(f"\nParquet: {PARQUET}. Without --from, official files are downloaded if the machine has network access.")


@app.command()
def prepare(
    dataset: Dataset,
    root: Root = DEFAULT_ROOT,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Official archive or its folder, torchvision root, or folder of Parquet files."),
    ] = None,
    image_size: ImageSize = None,
    extra: Annotated[
        bool, typer.Option("--extra", help="svhn only: add the 531,131 additional images to the training split.")
    ] = False,
    test_split: Annotated[
        str,
        typer.Option("--test-split", metavar="NAME", help="Parquet only: take the test images from NAME-*.parquet."),
    ] = "test",
    relabel: Annotated[
        bool,
        typer.Option("--relabel", help="Parquet only: leave out classes without training images, number the others."),
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip and list unusable images and labels, instead of failing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Convert a data set to memory-mapped arrays that all trials share; downloads it without --from."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from orchestrator.study.paths import data_root
    from trainables.data.catalog import default_image_size
    from trainables.data.prepare import prepare as prepare_store
    from trainables.data.sources.bad_rows import BadRows
    from trainables.data.sources.image_source import Choices

    bad_rows = BadRows(skip_bad)
    columns = (TextColumn(f"preparing {dataset}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("images", total=None)
        store = prepare_store(
            dataset,
            data_root(root),
            default_image_size(dataset) if image_size is None else image_size,
            source,
            lambda done, total: bar.update(task, completed=done, total=total),
            bad_rows,
            Choices(extra, test_split, relabel),
        )
    num_images = {split: len(arrays.labels_N) for split, arrays in store.splits.items()}
    facts = {
        "dataset": store.name,
        "image_size": store.image_size,
        "num_classes": store.num_classes,
        "num_images": num_images,
        "digest": store.digest,
        "num_skipped": len(bad_rows.found),
        "skipped": bad_rows.found,
        "notes": list(store.notes),
    }
    for note in store.notes:
        err.print(f"note: {note}", markup=False)
    for line in bad_rows.found[:SKIPPED_SHOWN]:
        err.print(f"skipped {line}", markup=False)
    if len(bad_rows.found) > SKIPPED_SHOWN:
        err.print(f"... and {len(bad_rows.found) - SKIPPED_SHOWN} more; to list all: aib data show {dataset} --json")
    if as_json:
        print_json(facts)
        return
    skipped = f", {len(bad_rows.found)} bad rows skipped" if bad_rows.found else ""
    counts = ", ".join(f"{n} {split}" for split, n in num_images.items())
    out.print(f"{store.name}: {counts}, {store.num_classes} classes, digest {store.digest[:16]}{skipped}")


@app.command()
def show(
    dataset: Dataset,
    root: Root = DEFAULT_ROOT,
    image_size: ImageSize = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write sample test images to this folder as PNG.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Number of sample images.")] = 8,
    as_json: Json = False,
) -> None:
    """Show classes, sizes and digest of a prepared data set; --save writes some of its test images."""
    from orchestrator.status.dataset_description import show_dataset
    from trainables.runtime.printable import printable_line

    found = show_dataset(root, dataset, image_size, save, count)
    if as_json:
        print_json(found)
        return
    out.print(f"{found['dataset']} at {found['image_size']} px, digest {found['digest'][:16]}")
    out.print(f"classes: {', '.join(map(printable_line, found['class_names']))}")
    for name, split in found["splits"].items():
        out.print(f"{name}: {split['num_images']} images{', with object masks' if split['masks'] else ''}")
    for note in found["notes"]:
        out.print(f"note: {note}", markup=False)
    if found["skipped"]:
        out.print(f"skipped when the data set was prepared: {len(found['skipped'])} bad rows; --json lists them")
    for path in found["saved"]:
        out.print(path)
