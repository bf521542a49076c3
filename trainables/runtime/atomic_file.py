"""Writes files and folders beside their place and renames them: readers see the old or the new, never a part.

Each writer names its temporary file. A fixed name leaves at most one behind, however often the writer is killed.
"""

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

UMASK_FILE = 0o666
"""Mode of a new file whose permissions the umask decides."""


def replace_file(path: Path, text: str, *, aside: Path, mode: int = UMASK_FILE, durable: bool = False) -> None:
    """Writes `text` as UTF-8 to `aside`, in the same folder, and renames it to `path`.

    `mode` is the new file's, less the umask. `durable`: the bytes are on the disk before the rename, so that a power
    cut leaves no empty file. After an error the former file is still in its place.
    """
    with replacing_file(path, aside=aside, mode=mode) as file:
        file.write(text.encode())
        if durable:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def replacing_file(path: Path, *, aside: Path, mode: int = UMASK_FILE) -> Iterator[IO[bytes]]:
    """`aside`, open for writing; renamed to `path` at the end of the block, removed after an error."""
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.replace(aside, path)
    finally:
        # After the rename it is no longer there.
        aside.unlink(missing_ok=True)


def create_file(path: Path, text: str) -> None:
    """Creates a file for its owner alone. Atomic: the first writer wins, and an existing file stays unchanged."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()


@contextmanager
def folder_beside(folder: Path, mode: int = 0o777) -> Iterator[Path]:
    """A new hidden folder in which the block builds `folder`. The block renames it; otherwise it is removed."""
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:16]}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir(mode)
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def apply_umask(folder: Path) -> None:
    """Gives a folder and its files the modes that the umask gives to new ones; some libraries choose others."""
    probe = folder / ".mode"
    probe.touch()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for path in folder.iterdir():
        path.chmod(mode)
    # Who may read a folder may also enter it.
    folder.chmod(mode | (mode & 0o444) >> 2)


def sync(path: Path) -> None:
    """Brings a file's bytes, or a folder's names, to the disk, so that they survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
