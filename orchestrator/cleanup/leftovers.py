"""Finds files that no command reads again: interrupted writes, Ray's files, delivered records, marks of checks."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.checks.storage_probe import abandoned_marks
from orchestrator.study.paths import StudyPaths
from orchestrator.tracking.buffer import spool

_INTERRUPTED_WRITES = {
    "study.tmp": "interrupted write of study.json",
    "slots.tmp": "interrupted write of slots.json",
    ".export.*": "interrupted export of a model",
    ".export-*": "interrupted export of a model",  # by earlier versions
    "report/.*": "interrupted write of a report",
}


class Leftover(NamedTuple):
    path: Path
    why: str


def leftovers(paths: StudyPaths) -> Iterator[Leftover]:
    """Yields the files and folders of the study, and the marks that killed starts of any study left in the root.

    Only valid while this process holds the study lock, since a driver uses them.
    """
    for pattern, why in _INTERRUPTED_WRITES.items():
        for path in sorted(paths.folder.glob(pattern)):
            yield Leftover(path, why)
    for path in sorted(paths.scratch.glob("*")):
        yield Leftover(path, "Ray's own files of an ended run")
    for path in spool.leftovers(paths.spool):
        yield Leftover(path, "of records that have been delivered")
    for path in abandoned_marks(paths.root):
        yield Leftover(path, "mark of a storage check that was killed")
