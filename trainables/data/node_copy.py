"""Copies prepared data sets to the node's own disk, once per node, for all workers there.

    CACHE/data/<root's hash>/cifar10-32/meta.json, train-<digest>.arrow, test-<digest>.arrow

The copy is a data root like the original: files are named by digest and verified, and the meta file makes them the
data set in one step. The first worker copies; the others wait for its lock.
"""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainables.data.arrow_store import META_FILE, Meta, open_store, read_meta, store_folder
from trainables.data.put_in_place import put_in_place
from trainables.errors import DataError
from trainables.runtime.atomic_file import sync
from trainables.runtime.file_lock import open_lock_file, take_lock
from trainables.runtime.progress import advance
from trainables.runtime.scratch import scratch_folder

UNUSED_S = 7 * 24 * 3600.0
"""A copy that no trial has opened for this long is removed before a new copy is made."""

_PIECE_BYTES = 2**24
_TURN_S = 0.05

logger = logging.getLogger(__name__)


def copy_to_node(data_root: Path, cache: Path, wanted: Iterable[tuple[str, int]]) -> Path:
    """Returns a data root on this node with up-to-date copies of the wanted data sets (name, image size).

    Leaves out data sets that are not prepared; opening them raises the error. Where a copy fails, for lack of space or
    because its digest is wrong, returns `data_root` itself: slower, but correct.
    """
    near = cache / "data" / hashlib.sha256(str(data_root).encode()).hexdigest()[:16]
    try:
        near.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, image_size in wanted:
            source = store_folder(data_root, name, image_size)
            meta = read_meta(source)
            if meta is not None:
                _copy(source, meta, near)
            else:
                shutil.rmtree(store_folder(near, name, image_size), ignore_errors=True)
    except (OSError, DataError) as error:
        logger.warning("cannot copy the data to this node; reads %s instead: %s", data_root, error)
        return data_root
    return near


def _copy(source: Path, meta: Meta, near: Path) -> None:
    folder = store_folder(near, meta.name, meta.image_size)
    with _turn(near / f".{folder.name}.lock"):
        if not _is_there(folder, meta):
            with scratch_folder(near, meta.name) as scratch:
                _remove_unused(near.parent)
                made = scratch / folder.name
                made.mkdir()
                for entry in meta.splits.values():
                    _copy_file(source / entry.file, made / entry.file)
                (made / META_FILE).write_text(meta.to_json(), encoding="utf-8")
                for path in made.iterdir():
                    sync(path)
                # Verifies every byte once: a byte that the network or the disk changed would affect all later trials.
                open_store(scratch, meta.name, meta.image_size, verify=True)
                put_in_place(made, meta, folder)
        os.utime(folder / META_FILE)


def _copy_file(source: Path, target: Path) -> None:
    """Copies piece by piece and counts progress, so that a long copy does not look hung."""
    with source.open("rb") as given, target.open("wb") as taken:
        while piece := given.read(_PIECE_BYTES):
            taken.write(piece)
            advance()


def _is_there(folder: Path, meta: Meta) -> bool:
    try:
        found = read_meta(folder)
        if found is None or (found.digest, found.splits) != (meta.digest, meta.splits):
            return False
        open_store(folder.parent, meta.name, meta.image_size)
    except DataError:
        return False
    return True


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Lets one process of this node into the block at a time; a process that dies releases its lock.

    A waiting process counts progress, because it is not hung; only the process that copies may be.
    """
    descriptor = open_lock_file(lock)
    try:
        while not _taken(descriptor):
            advance()
            time.sleep(_TURN_S)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        take_lock(descriptor)
    except BlockingIOError:
        return False
    return True


def _remove_unused(copies: Path) -> None:
    """Removes copies not opened for `UNUSED_S`; a process that has one mapped keeps its mapping."""
    for meta_file in copies.glob(f"*/*/{META_FILE}"):
        with suppress(OSError):
            if not meta_file.parent.name.startswith(".") and time.time() - meta_file.stat().st_mtime > UNUSED_S:
                meta_file.unlink()
                shutil.rmtree(meta_file.parent, ignore_errors=True)
