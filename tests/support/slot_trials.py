"""Makes one trial's assignment and runs it in a pool to its end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator.slots.client import acquire
from orchestrator.slots.messages import Assignment, EpochResult, Finished, PoolRef
from trainables.checkpoints.folder_store import FolderStore


class Ran(NamedTuple):
    """What the owner of a trial received."""

    reports: list[EpochResult]
    finished: Finished

    @property
    def epochs(self) -> list[int]:
        return [report.epoch for report in self.reports]

    @property
    def pids(self) -> list[int]:
        return [int(report.metrics["pid"]) for report in self.reports]

    def column(self, name: str) -> list[float]:
        return [report.metrics[name] for report in self.reports]


Run = Callable[..., Ran]


@pytest.fixture
def new_assignment(tmp_path: Path) -> Callable[..., Assignment]:
    """Makes assignments whose checkpoints are in the test's folder; faults count themselves in `marks`."""
    (tmp_path / "marks").mkdir()

    def make(config: dict[str, Any], trial: str = "t00000", **fields: Any) -> Assignment:
        config = {**config, "marks": str(tmp_path / "marks")}
        return Assignment(
            trial=trial, config=config, checkpoints=FolderStore(tmp_path / trial), data_root=tmp_path, **fields
        )

    return make


@pytest.fixture
def run() -> Run:
    """Runs an assignment to its end and calls `meanwhile` after each report."""

    def run_trial(pool: PoolRef, assignment: Assignment, meanwhile: Callable[[EpochResult], None] | None = None) -> Ran:
        reports = []
        with acquire(pool, "the test", timeout_s=250) as lease:
            lease.start(assignment)
            while isinstance(message := lease.next(), EpochResult):
                reports.append(message)
                if meanwhile is not None:
                    meanwhile(message)
            return Ran(reports, message)

    return run_trial
