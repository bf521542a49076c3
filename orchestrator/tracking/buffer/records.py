"""The calls of a Tracker as values, so that they can wait on disk as JSON and be made later."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.tracking.tracker import DatasetInput, State, Tracker


@dataclass(frozen=True)
class OpenStudy:
    study: str
    signature: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    timestamp_ms: int


@dataclass(frozen=True)
class OpenTrial:
    trial: str
    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    dataset: DatasetInput | None
    timestamp_ms: int


@dataclass(frozen=True)
class LogEpoch:
    trial: str
    epoch: int
    metrics: Mapping[str, float]
    timestamp_ms: int


@dataclass(frozen=True)
class LogArtifact:
    trial: str | None
    local_path: str
    artifact_path: str | None


@dataclass(frozen=True)
class CloseTrial:
    trial: str
    state: State
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    timestamp_ms: int


@dataclass(frozen=True)
class CloseStudy:
    state: State
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    timestamp_ms: int


Record = OpenStudy | OpenTrial | LogEpoch | LogArtifact | CloseTrial | CloseStudy

_KINDS: dict[str, type[Record]] = {
    kind.__name__: kind for kind in (OpenStudy, OpenTrial, LogEpoch, LogArtifact, CloseTrial, CloseStudy)
}


def to_payload(record: Record) -> dict[str, Any]:
    """The record as a JSON object with its kind."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    if isinstance(record, OpenTrial) and record.dataset is not None:
        fields["dataset"] = dataclasses.asdict(record.dataset)
    return {"kind": type(record).__name__, **fields}


def from_payload(payload: Mapping[str, Any]) -> Record:
    """The inverse of `to_payload`; KeyError or TypeError where the object is not one of ours."""
    fields = dict(payload)
    kind = _KINDS[fields.pop("kind")]
    if kind is OpenTrial and fields["dataset"] is not None:
        fields["dataset"] = DatasetInput(**fields["dataset"])
    return kind(**fields)


def deliver(tracker: Tracker, record: Record) -> None:
    """Makes the call that the record stands for."""
    match record:
        case OpenStudy():
            tracker.open_study(
                record.study, record.signature, record.params, record.tags, timestamp_ms=record.timestamp_ms
            )
        case OpenTrial():
            tracker.open_trial(
                record.trial,
                record.name,
                record.params,
                record.tags,
                record.dataset,
                timestamp_ms=record.timestamp_ms,
            )
        case LogEpoch():
            tracker.log_epoch(record.trial, record.epoch, record.metrics, record.timestamp_ms)
        case LogArtifact():
            tracker.log_artifact(record.trial, record.local_path, record.artifact_path)
        case CloseTrial():
            tracker.close_trial(
                record.trial, record.state, record.metrics, record.tags, timestamp_ms=record.timestamp_ms
            )
        case CloseStudy():
            tracker.close_study(record.state, record.metrics, record.tags, timestamp_ms=record.timestamp_ms)
