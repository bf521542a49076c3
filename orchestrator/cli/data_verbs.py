"""`aib data`: list, prepare and look at data sets."""

import re
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, Root, err, out, print_json
from orchestrator.options import DEFAULT_ROOT

app = typer.Typer(help="Data sets: list, prepare, show.", no_args_is_help=True)

SKIPPED_SHOWN = 20
"""Bad rows that are printed one by one."""

CLASS_SHOWN = 48
"""Characters of a class's name in the name of a file, which may have 255 bytes."""

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set.")]
ImageSize = Annotated[int | None, typer.Option("--image-size", help="Side of the square images in pixels.")]


@app.command("list")
def list_datasets(root: Root = DEFAULT_ROOT, as_json: Json = False) -> None:
    """Known data sets and which of them are prepared."""
    from rich.table import Table

    from orchestrator.study.paths import data_root
    from trainables.data.arrow_store import list_prepared
    from trainables.data.catalog import KNOWN_DATASETS, PARQUET

    prepared = list_prepared(data_root(root))
    rows = [
        {
            "dataset": meta.name,
            "image_size": meta.image_size,
            "prepared": True,
            "num_images": meta.num_images,
            "digest": meta.digest,
            "accepts": KNOWN_DATASETS[meta.name].accepts if meta.name in KNOWN_DATASETS else PARQUET,
        }
        for meta in prepared
    ]
    there = {meta.name for meta in prepared}
    rows += [
        {
            "dataset": known.name,
            "image_size": known.image_size,
            "prepared": False,
            "obtain": known.obtain,
            "accepts": known.accepts,
        }
        for known in KNOWN_DATASETS.values()
        if known.name not in there
    ]
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
    out.print(f"\nParquet: {PARQUET}. Without --from, official files are downloaded where the machine may.")


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
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out and list images and labels that cannot be used.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Reads a data set once into memory-mapped arrays that all trials share; without --from it is downloaded."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from orchestrator.study.paths import data_root
    from trainables.data.catalog import default_image_size
    from trainables.data.prepare import prepare as prepare_store
    from trainables.data.sources.bad_rows import BadRows

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
            extra,
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
    }
    for line in bad_rows.found[:SKIPPED_SHOWN]:
        err.print(f"skipped {line}", markup=False)
    if len(bad_rows.found) > SKIPPED_SHOWN:
        err.print(f"... and {len(bad_rows.found) - SKIPPED_SHOWN} more; all of them: aib data show {dataset} --json")
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
    save: Annotated[Path | None, typer.Option("--save", help="Write sample test images here as PNG.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many sample images.")] = 8,
    as_json: Json = False,
) -> None:
    """Classes, sizes and digest of a prepared data set; with --save, a few of its test images."""
    from collections import Counter

    from PIL import Image

    from orchestrator.study.paths import data_root
    from trainables.data.arrow_store import open_store, read_meta, store_folder
    from trainables.data.catalog import default_image_size
    from trainables.data.prepare import check_image_size

    size = default_image_size(dataset) if image_size is None else image_size
    check_image_size(size)
    store = open_store(data_root(root), dataset, size)
    meta = read_meta(store_folder(data_root(root), dataset, size))
    skipped = list(meta.skipped) if meta else []
    saved = []
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        test = store.splits["test"]
        for i in range(min(count, len(test.labels_N))):
            path = save / f"{store.name}-{i:04d}-{_in_file_name(store.class_names[test.labels_N[i]])}.png"
            Image.fromarray(test.images_NHWC[i]).save(path)
            saved.append(str(path))
    facts = {
        "dataset": store.name,
        "image_size": store.image_size,
        "class_names": list(store.class_names),
        "digest": store.digest,
        "splits": {
            name: {
                "num_images": len(split.labels_N),
                "per_class": [n for _, n in sorted(Counter(split.labels_N.tolist()).items())],
                "masks": split.masks_NHW is not None,
            }
            for name, split in store.splits.items()
        },
        "skipped": skipped,
        "saved": saved,
    }
    if as_json:
        print_json(facts)
        return
    out.print(f"{store.name} at {store.image_size} px, digest {store.digest[:16]}")
    out.print(f"classes: {', '.join(store.class_names)}")
    for name, split in store.splits.items():
        out.print(f"{name}: {len(split.labels_N)} images{', with object masks' if split.masks_NHW is not None else ''}")
    if skipped:
        out.print(f"left out when it was prepared: {len(skipped)} bad rows, which --json lists")
    for line in saved:
        out.print(line)


def _in_file_name(class_name: str) -> str:
    """What a class is called in the name of a file: a class may be called anything, `n/a` too."""
    return re.sub(r"[/\\\x00-\x1f]", "-", class_name)[:CLASS_SHOWN]
