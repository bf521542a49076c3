"""A Tracker in memory: the simplest one that keeps the contract, with failures that a test can switch on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.tracking.records import CloseStudy, CloseTrial, LogArtifact, LogEpoch, OpenStudy, OpenTrial, Record
from orchestrator.tracking.tracker import RecordRejectedError

_STATUS = {"completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class RecordingTracker:
    """While `fail_with` is set, every call raises it; `calls` lists the kind of every request that succeeded."""

    def __init__(self) -> None:
        self.fail_with: Exception | None = None
        self.calls: list[str] = []
        self.study: str | None = None
        self.runs: dict[str | None, dict[str, Any]] = {}
        self.closed = False
        self.alive = True

    def write(self, record: Record) -> None:
        self._called(type(record).__name__)
        match record:
            case OpenStudy():
                self.study = record.study
                tags = {**record.tags, "aib.study": record.study, "aib.signature": record.signature}
                self._open(None, record.params, tags)
            case OpenTrial():
                self._run(None)
                run = self._open(record.trial, record.params, {**record.tags, "aib.trial": record.trial})
                if record.dataset:
                    run["datasets"].add((record.dataset.name, record.dataset.digest))
            case LogEpoch():
                self._log(record)
            case LogArtifact():
                path = Path(record.local_path)
                name = f"{record.artifact_path}/{path.name}" if record.artifact_path else path.name
                self._run(record.trial)["files"][name] = path.read_bytes()
            case CloseTrial():
                self._close(record.trial, record)
            case CloseStudy():
                self._close(None, record)

    def write_epochs(self, epochs: Sequence[LogEpoch]) -> None:
        self._called(LogEpoch.__name__)
        for epoch in epochs:
            self._log(epoch)

    def run_id(self, trial: str | None, timeout_s: float = 10.0) -> str | None:
        run = self.runs.get(trial)
        return run["id"] if run else None

    def answers(self) -> bool:
        return self.alive

    def ended_trials(self, timeout_s: float = 10.0) -> frozenset[str] | None:
        if self.fail_with is not None:
            raise self.fail_with
        over = ("FINISHED", "FAILED")
        return frozenset(trial for trial, run in self.runs.items() if trial and run["status"] in over)

    def flush(self, timeout_s: float) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    def _called(self, kind: str) -> None:
        if self.fail_with is not None:
            raise self.fail_with
        self.calls.append(kind)

    def _run(self, trial: str | None) -> dict[str, Any]:
        if trial not in self.runs:
            raise RecordRejectedError(f"{trial} was never opened")
        return self.runs[trial]

    def _open(self, trial: str | None, params: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
        new = {"id": f"id-{len(self.runs)}", "params": {}, "tags": {}, "history": {}, "files": {}, "datasets": set()}
        run = self.runs.setdefault(trial, new)
        run["status"] = "RUNNING"
        run["tags"].update(tags)
        for key, value in params.items():
            if run["params"].setdefault(key, str(value)) != str(value):
                raise RecordRejectedError(f"{key} is recorded as {run['params'][key]}, now given as {value}")
        return run

    def _log(self, record: LogEpoch) -> None:
        for key, value in record.metrics.items():
            history = self._run(record.trial)["history"].setdefault(key, [])
            if not history or record.epoch > history[-1][0]:
                history.append((record.epoch, float(value)))

    def _close(self, trial: str | None, record: CloseTrial | CloseStudy) -> None:
        run = self._run(trial)
        last = max((steps[-1][0] for steps in run["history"].values()), default=0)
        for key, value in record.metrics.items():
            history = run["history"].setdefault(key, [])
            if not history or last > history[-1][0]:
                history.append((last, float(value)))
        run["tags"].update({**record.tags, "aib.state": record.state})
        run["status"] = _STATUS[record.state]
