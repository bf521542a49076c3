"""Records as JSON objects and back: the format of the spool's lines."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from orchestrator.tracking.records import DatasetInput, OpenStudy, OpenTrial, Record

FILES = "files"
"""Folder in the spool for copies of the files that records name."""
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


def movable(folder: Path, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with the path of its copy relative to the spool's `folder`, since a study's root can be moved."""
    path = payload.get("local_path")
    if path is None or not Path(path).is_relative_to(folder):
        return payload
    return {**payload, "local_path": str(Path(path).relative_to(folder))}


def located(folder: Path, payload: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `movable`; also corrects an absolute path that an earlier version wrote at a former place."""
    kept = Path(str(payload.get("local_path"))).parts[-3:]
    if len(kept) == 3 and kept[0] == FILES:
        return {**payload, "local_path": str(folder.joinpath(*kept))}
    return payload
