"""A search as a Ray job: the job's id, state and exit code."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from orchestrator.errors import EXIT_DONE, EXIT_FAILED, EXIT_PREFLIGHT, EXIT_TERMINATED
from orchestrator.process.redact import redact

NO_PROGRAM = (126, 127)
"""Exit codes of a shell that cannot start the program."""
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class RayJob(NamedTuple):
    """One job as the cluster describes it; `study` is None if the job is not an `aib` search."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    study: str | None = None
    root: str | None = None
    signature: str | None = None
    message: str = ""
    exit_code: int | None = None
    """Exit code of the entrypoint; None while it runs and after a stop."""
    started_s: float | None = None
    ended_s: float | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "exit_code": exit_code_of(self) if self.ended else None,
            # Ray appends the end of the log, which `follow` prints already.
            "message": redact(next(iter(self.message.splitlines()), "")),
            "root": self.root,
            "started_s": self.started_s,
            "ended_s": self.ended_s,
        }


def exit_code_of(job: RayJob) -> int:
    """The exit code for an ended job: the one of the search itself, if it returned one."""
    if job.status == "STOPPED":
        return EXIT_TERMINATED
    if job.exit_code is None:
        return EXIT_DONE if job.status == "SUCCEEDED" else EXIT_FAILED
    if job.exit_code in NO_PROGRAM:
        return EXIT_PREFLIGHT
    return job.exit_code if job.exit_code >= 0 else EXIT_FAILED


def jobs_of(study: str, jobs: Iterable[RayJob]) -> list[RayJob]:
    """The study's jobs, oldest first."""
    return sorted((job for job in jobs if job.study == study), key=lambda job: job.started_s or 0.0)


def free_id(study: str, jobs: Iterable[RayJob]) -> str:
    """An unused job id: the study's name, else NAME~2, NAME~3, … (Ray accepts each id only once).

    Two submitters who see the same jobs choose the same id, so Ray refuses the second one. Study names contain no `~`,
    so ids of different studies never collide.
    """
    taken = {job.id for job in jobs}
    number = 1
    while (name := study if number == 1 else f"{study}~{number}") in taken:
        number += 1
    return name
