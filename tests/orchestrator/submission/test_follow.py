"""`follow` writes each line of a log once, whole and without secrets, across broken connections."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.submission import follow as follow_module
from orchestrator.submission.follow import follow
from orchestrator.submission.jobs_api import JobsUnreachableError
from orchestrator.submission.ray_job import RayJob
from orchestrator.submission.remote_status import last_object

LOG = (
    "\x1b[36mpreparing\x1b[0m\npassword=hunter2x is kept\nt00000 completed \x1b]0;title\x07\u202e\n"
    "last, without an end of line"
)


class BrokenStream:
    """A Jobs API whose n-th stream breaks after `breaks[n]` characters; the job ends with the last stream."""

    def __init__(self, breaks: list[int], piece: int) -> None:
        self.breaks, self.piece = breaks, piece

    async def tail(self, job_id: str) -> AsyncIterator[str]:
        stop = self.breaks.pop(0) if self.breaks else len(LOG)
        for begin in range(0, stop, self.piece):
            yield LOG[begin : min(begin + self.piece, stop)]
        if self.breaks:
            raise JobsUnreachableError("broken")

    def job(self, job_id: str) -> RayJob:
        return RayJob(job_id, "SUCCEEDED" if not self.breaks else "RUNNING", exit_code=0)

    def log(self, job_id: str) -> str:
        return LOG


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "RETRY_S", 0.0)


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("breaks", [[], [5], [15, 3, 40], [0, 0, 60]])
def test_every_line_comes_once_whatever_breaks(breaks: list[int], piece: int) -> None:
    written: list[str] = []
    ended = follow(BrokenStream(list(breaks), piece), "tiny", written.append)  # type: ignore[arg-type]
    assert ended.status == "SUCCEEDED"
    assert written == [
        "preparing\n",
        "password=*** is kept\n",
        "t00000 completed \\x1b]0;title\\x07\\u202e\n",
        "last, without an end of line\n",
    ]


def test_a_cluster_that_stays_away_is_given_up() -> None:
    class Gone(BrokenStream):
        def job(self, job_id: str) -> RayJob:
            raise JobsUnreachableError("away")

    with pytest.raises(JobsUnreachableError):
        follow(Gone([], 1), "tiny", lambda line: None, lost_s=0.05)  # type: ignore[arg-type]


def test_the_status_is_found_after_other_output() -> None:
    log = 'Running entrypoint\n{"notice": 1}\n{\n "study": "tiny",\n "trials": {\n  "planned": 2\n }\n}\n'
    assert last_object(log) == {"study": "tiny", "trials": {"planned": 2}}
    assert last_object('{\n "a": 1\n}\n') == {"a": 1}
