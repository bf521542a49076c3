"""Records as JSON objects and back: the format of the spool's lines."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, get_args

from orchestrator.tracking.records import DatasetInput, OpenStudy, OpenTrial, Record

_KINDS: dict[str, type[Record]] = {kind.__name__: kind for kind in get_args(Record)}


def to_payload(record: Record) -> dict[str, Any]:
    """The record's fields and its `kind`, which is the name of its class."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    if isinstance(record, OpenTrial) and record.dataset is not None:
        fields["dataset"] = dataclasses.asdict(record.dataset)
    return {"kind": type(record).__name__, **fields}


def from_payload(payload: Mapping[str, Any]) -> Record:
    """The inverse of `to_payload`; raises KeyError or TypeError for an object that is no record."""
    fields = dict(payload)
    kind = _KINDS[fields.pop("kind")]
    if kind is OpenTrial and fields["dataset"] is not None:
        fields["dataset"] = DatasetInput(**fields["dataset"])
    return kind(**fields)


def opens(trial: str | None) -> Callable[[Mapping[str, Any]], bool]:
    """A test for spooled objects: is this the record that creates the run of `trial` (None: of the study)?"""
    if trial is None:
        return lambda payload: payload.get("kind") == OpenStudy.__name__
    return lambda payload: payload.get("kind") == OpenTrial.__name__ and payload.get("trial") == trial
