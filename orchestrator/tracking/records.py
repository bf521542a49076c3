"""The records of a study as plain values: what the driver sends to a tracker.

Trials are named by our own identifiers (`t00012`, `f01-seed3`), which survive a restart. `trial` is None where a record
is about the study itself. `timestamp_ms` is Unix time: when it happened, by default now.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["completed", "stopped", "failed", "interrupted"]
"""How a trial or a study ended. `stopped`: stopped early by the scheduler. `interrupted`: a resume continues it."""


def _now_ms() -> int:
    return int(time.time() * 1000)


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """Names the data set of a trial, without its data; `digest` is the digest of the prepared store."""

    name: str
    digest: str
    source: str
    num_train: int
    num_val: int = 0
    num_test: int = 0


@dataclass(frozen=True)
class OpenStudy:
    """Finds or creates the study's run and marks it as running. Comes before every other record."""

    study: str
    signature: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    timestamp_ms: int = field(default_factory=_now_ms)


@dataclass(frozen=True)
class OpenTrial:
    """Finds or creates the trial's run under the study and marks it as running; `params` is the flattened trial."""

    trial: str
    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    dataset: DatasetInput | None
    timestamp_ms: int = field(default_factory=_now_ms)


@dataclass(frozen=True)
class LogEpoch:
    """The metrics of one epoch of one trial, step = epoch. Epochs of a trial rise; a known epoch is skipped."""

    trial: str
    epoch: int
    metrics: Mapping[str, float]
    timestamp_ms: int


@dataclass(frozen=True)
class LogArtifact:
    """Stores a file under the folder `artifact_path` of the run."""

    trial: str | None
    local_path: str | Path
    artifact_path: str | None = None


@dataclass(frozen=True)
class CloseTrial:
    """Ends the trial's run; `metrics` are recorded at its last epoch."""

    trial: str
    state: State
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    timestamp_ms: int = field(default_factory=_now_ms)


@dataclass(frozen=True)
class CloseStudy:
    """Ends the study's run."""

    state: State
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    timestamp_ms: int = field(default_factory=_now_ms)


Record = OpenStudy | OpenTrial | LogEpoch | LogArtifact | CloseTrial | CloseStudy
