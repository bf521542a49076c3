"""Files of a study that nobody reads again, beside checkpoints: what kills left half done, and Ray's own files."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.study.paths import StudyPaths
from orchestrator.tracking.buffer import spool

_HALF_DONE = {
    "study.tmp": "a study that was about to be written",
    ".export-*": "a model that was about to be exported",
    "report/.*": "a report that was about to be written",
}


class Leftover(NamedTuple):
    path: Path
    why: str


def leftovers(paths: StudyPaths) -> Iterator[Leftover]:
    """Of a study whose lease this process holds: while a driver runs, all of them are in use."""
    for pattern, why in _HALF_DONE.items():
        for path in sorted(paths.folder.glob(pattern)):
            yield Leftover(path, why)
    for path in sorted(paths.scratch.glob("*")):
        yield Leftover(path, "Ray's own files of a run that has ended")
    for path in spool.leftovers(paths.spool):
        yield Leftover(path, "of records that have been delivered")
