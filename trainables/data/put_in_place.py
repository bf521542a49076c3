"""Installs a finished data set folder: by a rename, or over an older one file by file with the meta file last."""

from pathlib import Path

from trainables.data.arrow_store import META_FILE, Meta, open_store, read_meta
from trainables.errors import DataError
from trainables.runtime.atomic_file import sync


def put_in_place(made: Path, meta: Meta, folder: Path) -> None:
    """Moves `made` to `folder`, unless an equal, undamaged data set is there. A reader finds the old or the new one."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    else:
        sync(folder.parent)
        return
    try:
        old = read_meta(folder)
        if old is not None and old.digest == meta.digest:
            open_store(folder.parent, meta.name, meta.image_size, verify=True)
            if (old.skipped, old.notes) != (meta.skipped, meta.notes):
                (made / META_FILE).replace(folder / META_FILE)
                sync(folder)
            return
    except DataError:
        old = None
    for entry in meta.splits.values():
        (made / entry.file).replace(folder / entry.file)
    (made / META_FILE).replace(folder / META_FILE)
    sync(folder)
    stale = {entry.file for entry in old.splits.values()} if old else {path.name for path in folder.glob("*.arrow")}
    for file in stale - {entry.file for entry in meta.splits.values()}:
        (folder / file).unlink(missing_ok=True)
