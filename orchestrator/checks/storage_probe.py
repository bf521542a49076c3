"""Checks storage from one process: writes, reads and removes a mark, and reads another process's mark.

Reading another process's mark tells a shared folder from two folders with the same name.
"""

import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from orchestrator.errors import first_line
from trainables.checkpoints.bucket import Bucket
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import read_meta, store_folder
from trainables.errors import AIBError
from trainables.evaluation.final_score import stores_needed


class Marks(Protocol):
    """Storage for marks, which are small files. Methods raise OSError where the storage refuses."""

    def write(self, name: str) -> None: ...
    def read(self, name: str) -> str: ...
    def remove(self, name: str) -> None: ...


@dataclass(frozen=True)
class FolderMarks:
    """Marks in an existing folder; creating the folder on a node that lacks it would hide the fault."""

    folder: Path

    def write(self, name: str) -> None:
        (self.folder / name).write_text(name, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class BucketMarks:
    """Marks as objects beside the studies."""

    bucket: Bucket

    def write(self, name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_text(name, encoding="utf-8")
            self.bucket.put(file, name)

    def read(self, name: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            self.bucket.get(name, file)
            return file.read_text(encoding="utf-8")

    def remove(self, name: str) -> None:
        self.bucket.remove(name)


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


def new_mark(who: str) -> str:
    """Returns a new, unique name for a mark."""
    return f".storage-check-{who}-{uuid.uuid4().hex}"


def probe(marks: Marks, who: str, other: str | None = None) -> None:
    """Writes, reads and removes a mark, and reads `other`; raises OSError on a failure or on wrong content."""
    own = new_mark(who)
    marks.write(own)
    try:
        for name in (own, other) if other else (own,):
            if marks.read(name) != name:
                raise OSError(f"what was written to {name} is not what is read from it")
    finally:
        marks.remove(own)


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
