"""Turns a source of images into a prepared data set, all or nothing.

Makes the data set in a temporary folder and renames it. If an older one is in place, the new files move in beside the
old files; replacing the meta file, one atomic step, makes them the data set. A reader finds the old or the new one.
"""

import shlex
from collections.abc import Callable
from pathlib import Path

from trainables.data.arrow_store import Store, open_store, store_folder
from trainables.data.catalog import PARQUET, known_dataset, prepare_command
from trainables.data.census import Census
from trainables.data.cluttered_digits import cluttered_digits_source
from trainables.data.put_in_place import put_in_place
from trainables.data.sources.bad_rows import BadRows
from trainables.data.sources.download import download
from trainables.data.sources.image_source import DEFAULT, Choices, ImageSource, Request
from trainables.data.sources.notes import Notes
from trainables.data.sources.official import OFFICIAL
from trainables.data.sources.parquet import parquet_source
from trainables.data.sources.parquet_files import HUB_FOLDER, check_test_split, holds_parquet
from trainables.data.writer import Findings, write_store
from trainables.errors import ConfigError, DataError
from trainables.runtime.scratch import scratch_folder

Progress = Callable[[int, int | None], None]
"""Called with (images done, images in all) after every piece."""

SMALLEST_PX, LARGEST_PX = 8, 512


def prepare(
    name: str,
    data_root: Path,
    image_size: int,
    source: Path | None = None,
    progress: Progress | None = None,
    bad_rows: BadRows | None = None,
    choices: Choices = DEFAULT,
) -> Store:
    """Prepares a data set under `data_root` and opens it; preparing the same images again changes nothing.

    `source`: a folder of Parquet files, or a known data set's official files, as an archive or unpacked. None downloads
    the official files, or composes cluttered-digits.
    `bad_rows`: skips and lists unusable rows, or stops at the first one, which is the default.
    `choices`: what a source leaves open; what was left out, added or guessed is in the store's notes.
    Raises DataError for a missing, damaged or unsuitable source, ConfigError for a name or size out of range.
    """
    bad_rows = bad_rows or BadRows()
    _check(name, image_size, source, choices)
    try:
        with scratch_folder(data_root, name) as scratch:
            request = Request(image_size, scratch, bad_rows, choices, Notes())
            images = _source(name, source, request)
            census = Census(images.class_names)
            made = scratch / "made"
            made.mkdir()
            advance = _counter(images, progress)
            found = Findings(bad_rows.found, lambda: [*request.notes.lines(), *census.notes()])
            meta = write_store(made, name, image_size, census.watching(images), advance, found)
            put_in_place(made, meta, store_folder(data_root, name, image_size))
    except OSError as error:
        raise DataError(
            f"cannot write the data set '{name}' under {data_root}: {error}. Make room or make it writable, "
            f"then: {prepare_command(name, image_size)}"
        ) from error
    return open_store(data_root, name, image_size)


def check_image_size(image_size: int) -> None:
    """ConfigError for a side in pixels outside the allowed range."""
    if not SMALLEST_PX <= image_size <= LARGEST_PX:
        raise ConfigError(f"--image-size is {image_size} px; allowed: {SMALLEST_PX} to {LARGEST_PX}.")


def _check(name: str, image_size: int, source: Path | None, choices: Choices) -> None:
    store_folder(Path(), name, image_size)
    check_image_size(image_size)
    check_test_split(choices.test_split)
    if choices.extra and name != "svhn":
        raise ConfigError(f"--extra adds SVHN's additional training images; {name} has none. Leave it out.")
    if name == "cluttered-digits" and source is not None:
        raise ConfigError(f"cluttered-digits is composed, not read; leave out --from {source}.")
    if source is None:
        _check_for_parquet(choices, "no --from is given")


def _check_for_parquet(choices: Choices, instead: str) -> None:
    if choices != DEFAULT._replace(extra=choices.extra):
        raise ConfigError(f"--test-split and --relabel are for a folder of Parquet files, and {instead}.")


def _source(name: str, path: Path | None, request: Request) -> ImageSource:
    if name == "cluttered-digits":
        return cluttered_digits_source(request.image_size)
    command = prepare_command(name, request.image_size)
    if path is None and name not in OFFICIAL:
        known_dataset(name)
        raise DataError(f"data set '{name}' needs a source: {command}.")
    if path is None:
        path = request.scratch / "download"
        path.mkdir()
        files = OFFICIAL[name].downloads + (OFFICIAL[name].extra if request.choices.extra else ())
        download(OFFICIAL[name].title, files, path, f"{command} (PATH: {known_dataset(name).accepts}).")
    if not path.exists():
        raise DataError(f"{path} does not exist; give the path that holds the images: --from PATH.")
    found = OFFICIAL[name].find(path) if name in OFFICIAL else None
    if holds_parquet(path, request.choices):
        if found is not None:
            request.notes.add(f"the Parquet files were read, and not the official files in {found.name}")
        return parquet_source(name, path, request)
    if found is not None:
        _check_for_parquet(request.choices, f"{found} holds the official files")
        return OFFICIAL[name].source(found, request)
    if holds_parquet(path / HUB_FOLDER, request.choices):
        return parquet_source(name, path / HUB_FOLDER, request)
    accepts = known_dataset(name).accepts if name in OFFICIAL else PARQUET
    inside = [place for place in _folders(path) if holds_parquet(place, request.choices)]
    hint = f" {inside[0]} has such files; to read it: --from {shlex.quote(str(inside[0]))}" if inside else ""
    raise DataError(f"{path} holds no images that can be prepared; allowed: {accepts}.{hint}")


def _folders(path: Path) -> list[Path]:
    return [place for place in sorted(path.iterdir()) if place.is_dir()] if path.is_dir() else []


def _counter(images: ImageSource, progress: Progress | None) -> Callable[[int], None]:
    done, total = 0, sum(images.num_images.values())

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    return advance
