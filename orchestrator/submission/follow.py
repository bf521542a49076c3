"""A job's log as it is written, to the job's end; lost connections are taken up where they broke off."""

import asyncio
import time
from collections.abc import Callable

from orchestrator.process.redact import redact
from orchestrator.submission.jobs_api import JobsApi, JobsUnreachableError
from orchestrator.submission.ray_job import RayJob

LOST_S = 120.0
RETRY_S = 2.0


def follow(api: JobsApi, job_id: str, write: Callable[[str], None], lost_s: float = LOST_S) -> RayJob:
    """Writes the log, whole lines with secrets removed, and gives the job as it ended.

    Raises JobsUnreachableError where the cluster stays away for `lost_s`; the job may well go on.
    """
    lines = _Lines(write)
    lost_since: float | None = None
    while True:
        try:
            asyncio.run(_tail(api, job_id, lines))
            job = api.job(job_id)
            if job.ended:
                # The stream can close before the last lines are in it.
                lines.catch_up(api.log(job_id))
                lines.close()
                return job
            lost_since = None
        except JobsUnreachableError:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > lost_s:
                raise
        time.sleep(RETRY_S)


async def _tail(api: JobsApi, job_id: str, lines: "_Lines") -> None:
    """A stream begins with the log's first character, each time."""
    position = 0
    async for text in api.tail(job_id):
        lines.feed(position, text)
        position += len(text)


class _Lines:
    """Whole lines of a text that arrives in pieces, some of them again."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._seen, self._unfinished = write, 0, ""

    def feed(self, position: int, text: str) -> None:
        new = text[max(0, self._seen - position) :]
        self._seen = max(self._seen, position + len(text))
        # A secret may be cut in two by the end of a piece, never by the end of a line.
        *whole, self._unfinished = (self._unfinished + new).split("\n")
        for line in whole:
            self._write(redact(line) + "\n")

    def catch_up(self, log: str) -> None:
        self.feed(0, log)

    def close(self) -> None:
        if self._unfinished:
            self._write(redact(self._unfinished) + "\n")
            self._unfinished = ""
