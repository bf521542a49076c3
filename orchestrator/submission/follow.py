"""Prints a job's log while the job runs, and resumes after lost connections without repeating lines."""

import asyncio
import re
import time
from collections.abc import Callable

from orchestrator.process.redact import redact
from orchestrator.submission.jobs_api import JobsApi, JobsUnreachableError
from orchestrator.submission.ray_job import RayJob
from trainables.runtime.printable import printable

LOST_S = 120.0
RETRY_S = 2.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""Ray colours its lines; they are shown plain."""


def follow(api: JobsApi, job_id: str, write: Callable[[str], None], lost_s: float = LOST_S) -> RayJob:
    """Writes the log in whole lines, without secrets and control characters, until the job ends; returns the ended job.

    Raises JobsUnreachableError if the cluster is unreachable for `lost_s`; the job may still run then.
    """
    lines = _Lines(write)
    lost_since: float | None = None
    while True:
        try:
            asyncio.run(_tail(api, job_id, lines))
            job = api.job(job_id)
            if job.ended:
                # The stream can close before it has delivered the last lines.
                lines.feed(0, api.log(job_id))
                lines.close()
                return job
            lost_since = None
        except JobsUnreachableError:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > lost_s:
                raise
        time.sleep(RETRY_S)


async def _tail(api: JobsApi, job_id: str, lines: "_Lines") -> None:
    """Reads one stream; each stream starts at the first character of the log."""
    position = 0
    async for text in api.tail(job_id):
        lines.feed(position, text)
        position += len(text)


class _Lines:
    """Joins pieces of a text, which may overlap, into whole lines; each line is written once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._num_read, self._unfinished = write, 0, ""

    def feed(self, position: int, text: str) -> None:
        """`position` is the place of the piece's first character in the whole text."""
        new = text[max(0, self._num_read - position) :]
        self._num_read = max(self._num_read, position + len(text))
        # A secret can be cut by the end of a piece, but not by the end of a line.
        *whole, self._unfinished = (self._unfinished + new).split("\n")
        for line in whole:
            self._write(_shown(line))

    def close(self) -> None:
        """Writes a last line that has no line break."""
        if self._unfinished:
            self._write(_shown(self._unfinished))
            self._unfinished = ""


def _shown(line: str) -> str:
    return printable(redact(_COLOUR.sub("", line))) + "\n"
