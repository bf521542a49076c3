"""Checks storage from one process: writes, reads and removes a mark, and reads another process's mark.

Reading another process's mark tells a shared folder from two folders with the same name.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from orchestrator.errors import first_line
from trainables.checkpoints.bucket import Bucket
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import read_meta, store_folder
from trainables.errors import AIBError
from trainables.evaluation.final_score import stores_needed
from trainables.runtime.atomic_file import UMASK_FILE
from trainables.runtime.file_lock import take_lock

_PREFIX = ".storage-check-"


class Marks(Protocol):
    """Storage for marks, which are small files. Methods raise OSError where the storage refuses."""

    def marked(self, who: str) -> AbstractContextManager[str]:
        """Writes a new mark and yields its name; removes it at the end."""

    def read(self, name: str) -> str: ...


@dataclass(frozen=True)
class FolderMarks:
    """Marks in an existing folder; creating the folder on a node that lacks it would hide the fault."""

    folder: Path

    @contextmanager
    def marked(self, who: str) -> Iterator[str]:
        """The writer keeps its mark locked, which tells it from the mark of a killed process."""
        name, descriptor = _locked_mark(self.folder, who)
        try:
            os.write(descriptor, name.encode())
            # Another node sees the bytes once they are on the server.
            os.fsync(descriptor)
            yield name
        finally:
            os.close(descriptor)
            with suppress(OSError):
                (self.folder / name).unlink()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class BucketMarks:
    """Marks as objects beside the studies."""

    bucket: Bucket

    @contextmanager
    def marked(self, who: str) -> Iterator[str]:
        name = _new_mark(who)
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / name
                file.write_text(name, encoding="utf-8")
                self.bucket.put(file, name)
            yield name
        finally:
            with suppress(OSError):
                self.bucket.remove(name)

    def read(self, name: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            self.bucket.get(name, file)
            return file.read_text(encoding="utf-8")


class NeededData(NamedTuple):
    """A prepared data set that every node must find."""

    data_root: Path
    name: str
    image_size: int
    digest: str


def needed_data(config: TrialConfig, data_root: Path) -> list[NeededData]:
    """Returns the prepared data sets that the trial opens; a node without one would compute other scores."""
    found = {
        (name, size): read_meta(store_folder(data_root, name, size)) for name, size in stores_needed(config, data_root)
    }
    return [NeededData(data_root, *key, meta.digest) for key, meta in found.items() if meta is not None]


def probe(marks: Marks, who: str, other: str | None = None) -> None:
    """Writes, reads and removes a mark, and reads `other`; raises OSError on a failure or on wrong content."""
    with marks.marked(who) as own:
        for name in (own, other) if other else (own,):
            if marks.read(name) != name:
                raise OSError(f"what was written to {name} is not what is read from it")


def abandoned_marks(folder: Path) -> list[Path]:
    """Returns the marks in a folder whose writer was killed; none on a file system without locks."""
    found = []
    for path in sorted(folder.glob(f"{_PREFIX}*")):
        with suppress(OSError), _taken(path):
            found.append(path)
    return found


def remove_mark(path: Path) -> None:
    """Removes a mark, unless a living process holds it."""
    with suppress(FileNotFoundError, BlockingIOError), _taken(path):
        path.unlink()


@contextmanager
def _taken(path: Path) -> Iterator[None]:
    """Holds the lock of an existing mark; raises OSError where its writer lives, or where there are no locks."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        take_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _new_mark(who: str) -> str:
    """Returns a new, unique name for a mark."""
    return f"{_PREFIX}{who}-{uuid.uuid4().hex}"


def _locked_mark(folder: Path, who: str) -> tuple[str, int]:
    """A new mark and its descriptor; unlocked on a file system without locks, where no process removes a mark."""
    while True:
        name = _new_mark(who)
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, UMASK_FILE)
        ours = True
        try:
            take_lock(descriptor)
        except BlockingIOError:
            ours = False
        except OSError:
            pass
        # Another process may take the mark for abandoned before it is locked; then the next one is tried.
        if ours and os.fstat(descriptor).st_nlink:
            return name, descriptor
        os.close(descriptor)
        (folder / name).unlink(missing_ok=True)


def fault_of(marks: Marks, who: str, other: str, needed: Sequence[NeededData]) -> str | None:
    """Returns why this node cannot serve, as one line; None where it can."""
    try:
        probe(marks, who, other)
    except OSError as error:
        return f"its storage fails: {first_line(error)}"
    for data in needed:
        try:
            found = read_meta(store_folder(data.data_root, data.name, data.image_size))
        except AIBError as error:
            return str(error)
        if found is None or found.digest != data.digest:
            what = "another version of" if found else "no"
            return f"{data.data_root} holds {what} {data.name} at {data.image_size} px there"
    return None
