"""Turns a source of images into a prepared data set, all or nothing.

Makes the data set in a temporary folder and renames it. If an older one is in place, the new files move in beside the
old files; replacing the meta file, one atomic step, makes them the data set. A reader finds the old or the new one.
"""

from collections.abc import Callable
from pathlib import Path

from trainables.data.arrow_store import SPLITS, Store, open_store, store_folder
from trainables.data.catalog import PARQUET, known_dataset, prepare_command
from trainables.data.cluttered_digits import cluttered_digits_source
from trainables.data.put_in_place import put_in_place
from trainables.data.sources.bad_rows import BadRows
from trainables.data.sources.download import download
from trainables.data.sources.image_source import ImageSource, Request
from trainables.data.sources.official import OFFICIAL
from trainables.data.sources.parquet import parquet_files, parquet_source
from trainables.data.writer import write_store
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
    extra: bool = False,
) -> Store:
    """Prepares a data set under `data_root` and opens it; preparing the same images again changes nothing.

    `source`: a folder of Parquet files, or a known data set's official files, as an archive or unpacked. None downloads
    the official files, or composes cluttered-digits.
    `bad_rows`: skips and lists unusable rows, or stops at the first one, which is the default.
    `extra`: whether to add SVHN's additional training images to its training split.
    Raises DataError for a missing, damaged or unsuitable source, ConfigError for a name or size out of range.
    """
    bad_rows = bad_rows or BadRows()
    _check(name, image_size, source, extra)
    try:
        with scratch_folder(data_root, name) as scratch:
            images = _source(name, source, Request(image_size, scratch, bad_rows, extra))
            made = scratch / "made"
            made.mkdir()
            meta = write_store(made, name, image_size, images, _counter(images, progress), bad_rows.found)
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


def _check(name: str, image_size: int, source: Path | None, extra: bool) -> None:
    store_folder(Path(), name, image_size)
    check_image_size(image_size)
    if extra and name != "svhn":
        raise ConfigError(f"--extra adds SVHN's additional training images; {name} has none. Leave it out.")
    if name == "cluttered-digits" and source is not None:
        raise ConfigError(f"cluttered-digits is composed, not read; leave out --from {source}.")


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
        files = OFFICIAL[name].downloads + (OFFICIAL[name].extra if request.extra else ())
        download(OFFICIAL[name].title, files, path, f"{command} (PATH: {known_dataset(name).accepts}).")
    if not path.exists():
        raise DataError(f"{path} does not exist; give the path that holds the images: --from PATH.")
    if path.is_dir() and any(parquet_files(path, split) for split in SPLITS):
        return parquet_source(name, path, request)
    found = OFFICIAL[name].find(path) if name in OFFICIAL else None
    if found is not None:
        return OFFICIAL[name].source(found, request)
    accepts = known_dataset(name).accepts if name in OFFICIAL else PARQUET
    raise DataError(f"{path} holds no images that can be prepared; allowed: {accepts}.")


def _counter(images: ImageSource, progress: Progress | None) -> Callable[[int], None]:
    done, total = 0, sum(images.num_images.values())

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    return advance
