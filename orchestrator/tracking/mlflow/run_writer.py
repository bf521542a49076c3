"""Writes to one MLflow run, and knows what the run already contains so that nothing is written twice."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, TypeVar

from orchestrator.process.redact import redact_mapping
from orchestrator.tracking.tracker import RecordRejectedError

STATE_TAG = "aib.state"
"""Tag that every run has from its first opening on."""
_NONFINITE_TAG = "aib.nonfinite"
# MLflow's limits per request (1000 items in all) and per value.
_MAX_METRICS = 800
_MAX_PARAMS = _MAX_TAGS = 100
_MAX_PARAM_CHARS = 6000
_MAX_TAG_CHARS = 8000

T = TypeVar("T")


class EpochPoint(NamedTuple):
    """The metrics of one step of a run; `timestamp_ms` is Unix time when they were reported."""

    epoch: int
    metrics: Mapping[str, float]
    timestamp_ms: int


class RunWriter:
    """Writes params once and metrics once per (key, step); `run` is the MLflow entity as just found or created."""

    def __init__(self, client: Any, run: Any) -> None:
        self._client = client
        self.run_id: str = run.info.run_id
        self._status: str = run.info.status
        self._params: dict[str, str] = dict(run.data.params)
        self._tags: dict[str, str] = dict(run.data.tags)
        # `run.data.metrics` has values only; the protobuf form also has the last step of each key.
        self._latest = {metric.key: (metric.step, metric.value) for metric in run.data.to_proto().metrics}

    def reopen(self, tags: Mapping[str, str], params: Mapping[str, Any]) -> None:
        """Adds missing tags and params and makes the run RUNNING again.

        If a param or the signature differs from the recorded one, raises RecordRejectedError after writing the rest.
        """
        if self._status != "RUNNING":
            self._client.update_run(self.run_id, status="RUNNING")
            self._status = "RUNNING"
        wanted_params = {key: _cut(value, _MAX_PARAM_CHARS) for key, value in redact_mapping(params).items()}
        wanted_tags = {**tags, STATE_TAG: "running"}
        if "aib.signature" in self._tags:
            wanted_tags["aib.signature"] = self._tags["aib.signature"]
        missing = {key: value for key, value in wanted_params.items() if key not in self._params}
        self._write([], wanted_tags, missing)
        changed = [
            f"{key} is recorded as {old!r}, now given as {new!r}"
            for key, old, new in (
                *((key, self._params[key], value) for key, value in wanted_params.items()),
                ("aib.signature", self._tags.get("aib.signature"), tags.get("aib.signature")),
            )
            if old != new
        ]
        if changed:
            raise RecordRejectedError(f"run {self.run_id} keeps its first values: {'; '.join(changed)}.")

    def log(self, points: Sequence[EpochPoint], tags: Mapping[str, str] | None = None) -> None:
        """Writes metrics with step = epoch and tags, in one request if they fit; skips steps up to a key's last one."""
        latest = dict(self._latest)
        nonfinite = _parse(self._tags.get(_NONFINITE_TAG, ""))
        metrics = []
        for point in points:
            for key, value in point.metrics.items():
                if key == "epoch":
                    continue
                if not math.isfinite(value):
                    nonfinite.setdefault(key, f"{point.epoch}={value}")
                elif key not in latest or point.epoch > latest[key][0]:
                    latest[key] = (point.epoch, float(value))
                    metrics.append(_metric(key, value, point.timestamp_ms, point.epoch))
        self._write(metrics, {**(tags or {}), **({_NONFINITE_TAG: _format(nonfinite)} if nonfinite else {})})

    def log_outcome(
        self, metrics: Mapping[str, float], tags: Mapping[str, str], timestamp_ms: int, new_step: bool
    ) -> None:
        """Writes metrics of the whole run at its last epoch; with `new_step`, a changed value gets the next step."""
        last = max((step for key, (step, _) in self._latest.items() if not key.startswith("system/")), default=0)
        points = []
        for key, value in metrics.items():
            step = last
            if new_step and key in self._latest:
                seen_step, seen = self._latest[key]
                step = seen_step if seen == value else seen_step + 1
            points.append(EpochPoint(step, {key: value}, timestamp_ms))
        self.log(points, tags)

    def end(self, status: str, timestamp_ms: int) -> None:
        self._client.set_terminated(self.run_id, status, timestamp_ms)
        self._status = status

    def _write(self, metrics: Sequence[Any], tags: Mapping[str, str], params: Mapping[str, str] | None = None) -> None:
        """Sends what is new; remembers it as written after each request that succeeded."""
        from mlflow.entities import Param, RunTag

        clean = {key: _cut(value, _MAX_TAG_CHARS) for key, value in redact_mapping(tags).items()}
        new_tags = [(key, value) for key, value in clean.items() if self._tags.get(key) != value]
        requests: Iterable[tuple[list[Any], list[tuple[str, str]], list[tuple[str, str]]]] = zip_longest(
            _chunks(metrics, _MAX_METRICS),
            _chunks((params or {}).items(), _MAX_PARAMS),
            _chunks(new_tags, _MAX_TAGS),
            fillvalue=[],
        )
        for some_metrics, some_params, some_tags in requests:
            self._client.log_batch(
                self.run_id,
                metrics=some_metrics,
                params=[Param(key, value) for key, value in some_params],
                tags=[RunTag(key, value) for key, value in some_tags],
                synchronous=True,
            )
            self._latest.update({metric.key: (metric.step, metric.value) for metric in some_metrics})
            self._params.update(some_params)
            self._tags.update(some_tags)


def _metric(key: str, value: float, timestamp_ms: int, step: int) -> Any:
    from mlflow.entities import Metric

    return Metric(key, float(value), timestamp_ms, step)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    every = list(items)
    return (every[start : start + size] for start in range(0, len(every), size))


def _cut(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _format(nonfinite: Mapping[str, str]) -> str:
    return " ".join(f"{key}@{value}" for key, value in nonfinite.items())


def _parse(tag: str) -> dict[str, str]:
    return dict(part.split("@", 1) for part in tag.split())
