"""A Tracker in memory: the plainest thing that keeps the contract, and a store whose moods a test can set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.tracking.tracker import DatasetInput, EpochPoint, RecordRejectedError, State


class RecordingTracker:
    """`fail_with` is raised by every call while it is set; `calls` counts the requests that got through."""

    def __init__(self) -> None:
        self.fail_with: Exception | None = None
        self.calls: list[str] = []
        self.study: str | None = None
        self.runs: dict[str | None, dict[str, Any]] = {}
        self.closed = False
        self.alive = True

    def _run(self, trial: str | None) -> dict[str, Any]:
        if trial not in self.runs:
            raise RecordRejectedError(f"{trial} was never opened")
        return self.runs[trial]

    def _called(self, what: str) -> None:
        if self.fail_with is not None:
            raise self.fail_with
        self.calls.append(what)

    def _open(self, trial: str | None, params: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
        new = {"id": f"id-{len(self.runs)}", "params": {}, "tags": {}, "history": {}, "files": {}, "datasets": set()}
        run = self.runs.setdefault(trial, new)
        run["status"] = "RUNNING"
        run["tags"].update(tags)
        for key, value in params.items():
            if run["params"].setdefault(key, str(value)) != str(value):
                raise RecordRejectedError(f"{key} is recorded as {run['params'][key]}, now given as {value}")
        return run

    def open_study(
        self,
        study: str,
        signature: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        self._called("open_study")
        self.study = study
        self._open(None, params, {**tags, "aib.study": study, "aib.signature": signature})

    def open_trial(
        self,
        trial: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInput | None,
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        self._called("open_trial")
        self._run(None)
        run = self._open(trial, params, {**tags, "aib.trial": trial})
        if dataset:
            run["datasets"].add((dataset.name, dataset.digest))

    def log_epoch(self, trial: str, epoch: int, metrics: Mapping[str, float], timestamp_ms: int) -> None:
        self.log_epochs(trial, [EpochPoint(epoch, metrics, timestamp_ms)])

    def log_epochs(self, trial: str, points: Sequence[EpochPoint]) -> None:
        self._called("log_epochs")
        for point in points:
            for key, value in point.metrics.items():
                history = self._run(trial)["history"].setdefault(key, [])
                if not history or point.epoch > history[-1][0]:
                    history.append((point.epoch, float(value)))

    def log_artifact(self, trial: str | None, local_path: str | Path, artifact_path: str | None = None) -> None:
        self._called("log_artifact")
        path = Path(local_path)
        name = f"{artifact_path}/{path.name}" if artifact_path else path.name
        self._run(trial)["files"][name] = path.read_bytes()

    def close_trial(
        self,
        trial: str,
        state: State,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        self._called("close_trial")
        self._close(trial, state, metrics, tags)

    def close_study(
        self, state: State, metrics: Mapping[str, float], tags: Mapping[str, str], *, timestamp_ms: int | None = None
    ) -> None:
        self._called("close_study")
        self._close(None, state, metrics, tags)

    def _close(self, trial: str | None, state: State, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        run = self._run(trial)
        last = max((steps[-1][0] for steps in run["history"].values()), default=0)
        for key, value in metrics.items():
            history = run["history"].setdefault(key, [])
            if not history or last > history[-1][0]:
                history.append((last, float(value)))
        run["tags"].update({**tags, "aib.state": state})
        ends = {"completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
        run["status"] = ends[state]

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
