"""The journal: the study's own record, one JSON line per event, which readers fold into a state.

It is the source of truth for a resume; Ray's state and pickles are never read back.

The study lock lets one driver write. On a network file system a driver can lose the lock without notice. So each driver
checks the journal before it writes: once it finds lines of another driver, it writes nothing more.
"""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestrator.errors import PreflightError
from orchestrator.study.clock import SteadyClock
from orchestrator.study.journal_event import check_event
from trainables.errors import AIBError, StorageError
from trainables.metrics import PER_EPOCH, VAL_LOCALIZATION

Ending = Literal["completed", "stopped", "failed"]
TrialState = Literal["running"] | Ending


@dataclass
class TrialRecord:
    """One trial: a suggestion of the search, a finalist's retraining, or the trial of `aib train`."""

    trial: str
    kind: Literal["search", "finalist", "train"]
    params: dict[str, Any]
    seed: int
    of: str | None = None
    """The search trial that a finalist retrains."""
    state: TrialState = "running"
    reason: str = ""
    failure_kind: str = ""
    """Why it failed, in one word: the science's error (DivergedError) or the loss of its workers (`failures.KINDS`)."""
    history: list[dict[str, float]] = field(default_factory=list)
    started_s: float = 0.0
    ended_s: float | None = None
    first_epoch_s: float | None = None
    """When its first epoch was reported."""
    stepped: bool = False
    """Whether its workers have made a step under the present driver."""
    recorded: bool = False
    """Whether the tracker has the trial's end with its figures and files; a kill may come after the journal's line."""

    @property
    def shown_state(self) -> TrialState | Literal["starting"]:
        """Its state for people: a trial without workers, or before its first step, does not run yet."""
        return "starting" if self.state == "running" and not self.stepped else self.state

    @property
    def epoch(self) -> int:
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def began_s(self) -> float:
        """When its first epoch began, as far as known; a trial may wait long for a slot after its start."""
        if self.first_epoch_s is None:
            return self.started_s
        return max(self.started_s, self.first_epoch_s - self.history[0].get("epoch_s", 0.0))

    @property
    def best_row(self) -> dict[str, float]:
        """The epoch whose weights are kept: lowest validation error, then lowest cross-entropy, then earliest."""
        return min(self.history, key=lambda row: (row["val_error_pct"], row["val_nll"]), default={})

    @property
    def outcome(self) -> dict[str, float]:
        """The metrics that judge the trial: per-epoch metrics of its best epoch, all others as reported last.

        After a full trial the last report holds the scores of the best epoch's weights.
        """
        last = self.history[-1] if self.history else {}
        return {
            **last,
            **{name: value for name, value in self.best_row.items() if name in (*PER_EPOCH, VAL_LOCALIZATION)},
        }


@dataclass
class StudyState:
    """A study's state, folded from its journal."""

    trials: dict[str, TrialRecord] = field(default_factory=dict)
    stage: str = "new"
    gate: dict[str, Any] | None = None
    registered: dict[str, Any] | None = None
    report: str | None = None
    mlflow: dict[str, Any] | None = None
    """Where MLflow has the record: `tracking_uri` without secrets, `experiment_id`, `run_id` of the parent run."""
    start_s: dict[str, float] = field(default_factory=dict)
    """Seconds of each part of the last driver's start, until its first epoch."""
    last_s: float = 0.0
    """Time of the last event."""

    _started_s: float = 0.0
    """When the last known part of the start ended."""

    def _end_part(self, name: str, now_s: float) -> None:
        if self.start_s and name not in self.start_s and "first_epoch" not in self.start_s:
            self.start_s[name], self._started_s = now_s - self._started_s, now_s

    def of_kind(self, kind: str) -> list[TrialRecord]:
        return [record for record in self.trials.values() if record.kind == kind]

    def apply(self, event: Mapping[str, Any]) -> None:
        """Applies one event; a known epoch is ignored."""
        kind = event["event"]
        self.last_s = max(self.last_s, event["time"])
        if kind == "trial":
            fields = ("trial", "kind", "params", "seed", "of")
            known = {name: event[name] for name in fields}
            self.trials.setdefault(event["trial"], TrialRecord(**known, started_s=event["time"]))
        elif kind == "driver":
            # Its trials get new workers.
            for record in self.trials.values():
                record.stepped = False
            self.start_s, self._started_s = dict(event.get("start_s", {})), event["time"]
        elif kind == "stepped":
            self.trials[event["trial"]].stepped = True
            self._end_part("workers", event["time"])
        elif kind == "epoch":
            self._end_part("first_epoch", event["time"])
            record = self.trials[event["trial"]]
            record.stepped = True
            if event["metrics"]["epoch"] > record.epoch:
                if record.first_epoch_s is None:
                    record.first_epoch_s = event["time"]
                record.history.append(dict(event["metrics"]))
        elif kind == "ended":
            record = self.trials[event["trial"]]
            record.state, record.reason, record.ended_s = event["state"], event["reason"], event["time"]
            # Earlier versions wrote no failure kind.
            record.failure_kind = event.get("failure_kind", "")
        elif kind == "recorded":
            self.trials[event["trial"]].recorded = True
        elif kind == "stage":
            self.stage = event["stage"]
        elif kind == "gate":
            self.gate = dict(event["decision"])
        elif kind == "registered":
            self.registered = dict(event["version"])
        elif kind == "mlflow":
            self.mlflow = dict(event["record"])
        elif kind == "report":
            self.report = event["path"]


class LockLostError(AIBError):
    """Another driver has taken over the study; this driver must not write any more."""


class Journal:
    """Appends events and applies them to the state; safe from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state, self._whole_bytes = _fold(path)
        self._clock = SteadyClock(self.state.last_s)
        # For its owner alone whatever the umask: a resume refuses files that other users can write.
        path.touch(mode=0o600)
        self._file = path.open("ab", buffering=0)
        self.lost = False
        """Another driver has taken over; this driver must not write any more, here or elsewhere."""
        self._lock = threading.RLock()
        # Drops a line that a kill cut short, so that the next event starts on a new line.
        self._file.truncate(self._whole_bytes)

    def now_s(self) -> float:
        """Returns the record's time (`SteadyClock`)."""
        return self._clock.now_s()

    def append(self, event: str, *, durable: bool = True, **fields: Any) -> None:
        """Appends one event; with `durable` the event survives a crash of the machine once this returns.

        Raises LockLostError where another process wrote to the journal, and StorageError where the disk does not take
        the whole line. In both cases the journal and the state stay as they were.
        """
        with self._lock:
            # Under the lock, so that times in the file only rise.
            record = {"event": event, "time": self.now_s(), **fields}
            line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
            self.check_ours()
            try:
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:]) or 0
                if durable:
                    os.fsync(self._file.fileno())
            except OSError as error:
                with suppress(OSError):
                    self._file.truncate(self._whole_bytes)
                raise StorageError.unwritable(self.path, error) from None
            self._whole_bytes += len(line)
            self.state.apply(record)

    def check_ours(self) -> None:
        """Raises LockLostError, from then on always, once another process has written to the file or removed it."""
        with self._lock:
            found = os.fstat(self._file.fileno())
            self.lost |= found.st_size != self._whole_bytes or found.st_nlink == 0
        if self.lost:
            what = "was removed" if found.st_nlink == 0 else "has been written to by another process"
            raise LockLostError(
                f"{self.path} {what} while this process ran the study, so this one stops; see who runs it in "
                f"{self.path.with_name('lease')}, or continue with --resume."
            )

    def close(self) -> None:
        self._file.close()


class JournalTail:
    """Follows a journal that another process appends to; reads each line once, and an incomplete line later."""

    def __init__(self, path: Path) -> None:
        self.state = StudyState()
        self.whole_bytes = 0
        self._path = path

    def read(self) -> None:
        """Reads the lines that are new; raises PreflightError for a damaged one and for a file that cannot be read."""
        try:
            with self._path.open("rb") as lines:
                lines.seek(self.whole_bytes)
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    self._apply(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise PreflightError(
                f"{self._path} cannot be read ({error.strerror}); restore it from a copy, or choose another --name."
            ) from None

    def _apply(self, line: bytes) -> None:
        try:
            self.state.apply(check_event(json.loads(line)))
        except (ValueError, KeyError, RecursionError) as error:
            # A KeyError names a trial that no line before has.
            why = f"it names the trial {error}, which it does not hold" if isinstance(error, KeyError) else f"{error}"
            raise PreflightError(
                f"{self._path} is damaged after byte {self.whole_bytes} ({why}); restore it from a copy, or search "
                "again under another name with --name."
            ) from None
        self.whole_bytes += len(line)


def read_state(path: Path) -> StudyState:
    """Returns the state of a running or finished study; does not disturb its driver."""
    return _fold(path)[0]


def _fold(path: Path) -> tuple[StudyState, int]:
    tail = JournalTail(path)
    tail.read()
    return tail.state, tail.whole_bytes
