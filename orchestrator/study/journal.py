"""The study's own record: one JSON line an event, appended by the driver alone, folded into a state.

It is the source of truth for a resume: Ray's state and pickles are never read back.

One driver writes it, which the study's lease sees to. Where a lease can be lost without its holder's knowledge (a
network file system that forgot a lock while its client was cut off), the journal is the fence: a driver that finds
somebody else's lines in it writes nothing more.
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
from trainables.errors import AIBError, StorageError
from trainables.metrics import PER_EPOCH, VAL_LOCALIZATION

Ending = Literal["completed", "stopped", "failed"]
TrialState = Literal["running"] | Ending


@dataclass
class TrialRecord:
    """What is known of one trial: a suggestion of the search, or a finalist's retraining."""

    trial: str
    kind: Literal["search", "finalist", "train"]
    params: dict[str, Any]
    seed: int
    of: str | None = None
    """The search trial that a finalist retrains."""
    state: TrialState = "running"
    reason: str = ""
    failure_kind: str = ""
    """What made it fail, in one word: the science's error (DivergedError) or what became of its workers
    (`failures.KINDS`)."""
    history: list[dict[str, float]] = field(default_factory=list)
    started_s: float = 0.0
    ended_s: float | None = None
    first_epoch_s: float | None = None
    """When its first epoch was reported."""
    recorded: bool = False
    """Whether the tracker was told the end and all that belongs to it: a kill may come between the journal's line and
    that, or a figure not be drawn."""

    @property
    def epoch(self) -> int:
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def began_s(self) -> float:
        """When its first epoch began, as far as that is known: a trial may be started long before it gets a slot."""
        if self.first_epoch_s is None:
            return self.started_s
        return max(self.started_s, self.first_epoch_s - self.history[0].get("epoch_s", 0.0))

    @property
    def best_row(self) -> dict[str, float]:
        """The epoch whose weights are kept: lowest validation error, then cross-entropy, then the earliest."""
        return min(self.history, key=lambda row: (row["val_error_pct"], row["val_nll"]), default={})

    @property
    def outcome(self) -> dict[str, float]:
        """What the trial is judged by: the per-epoch metrics of its best epoch, everything else as reported last (at
        the end of a full trial that is the score of the best epoch's weights)."""
        last = self.history[-1] if self.history else {}
        return {
            **last,
            **{name: value for name, value in self.best_row.items() if name in (*PER_EPOCH, VAL_LOCALIZATION)},
        }


@dataclass
class StudyState:
    """A study as its journal tells it."""

    trials: dict[str, TrialRecord] = field(default_factory=dict)
    stage: str = "new"
    gate: dict[str, Any] | None = None
    registered: dict[str, Any] | None = None
    report: str | None = None
    mlflow: dict[str, Any] | None = None
    """Where the record is: `tracking_uri` without secrets, `experiment_id`, `run_id` of the parent run."""
    last_s: float = 0.0
    """When the last event was."""

    def of_kind(self, kind: str) -> list[TrialRecord]:
        return [record for record in self.trials.values() if record.kind == kind]

    def apply(self, event: Mapping[str, Any]) -> None:
        """Takes one event; an epoch already known is not taken twice."""
        kind = event["event"]
        self.last_s = max(self.last_s, event["time"])
        if kind == "trial":
            fields = ("trial", "kind", "params", "seed", "of")
            known = {name: event[name] for name in fields}
            self.trials.setdefault(event["trial"], TrialRecord(**known, started_s=event["time"]))
        elif kind == "epoch":
            record = self.trials[event["trial"]]
            if event["metrics"]["epoch"] > record.epoch:
                if record.first_epoch_s is None:
                    record.first_epoch_s = event["time"]
                record.history.append(dict(event["metrics"]))
        elif kind == "ended":
            record = self.trials[event["trial"]]
            record.state, record.reason, record.ended_s = event["state"], event["reason"], event["time"]
            # Journals of earlier versions do not have it.
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
    """Another driver has taken the study over; this one may write nothing more."""


class Journal:
    """Appends events, from any thread, and keeps the state they add up to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state, self._whole_bytes = _fold(path)
        self._clock = SteadyClock(self.state.last_s)
        # Its owner's alone whatever the umask: what others may write is not resumed.
        path.touch(mode=0o600)
        self._file = path.open("ab", buffering=0)
        self.lost = False
        """Another driver has it: this one may write nothing more, here or elsewhere."""
        self._lock = threading.RLock()
        # A line torn by a kill is cut off, so that the next event starts on a line of its own.
        self._file.truncate(self._whole_bytes)

    def now_s(self) -> float:
        """The record's time: see `SteadyClock`."""
        return self._clock.now_s()

    def append(self, event: str, *, durable: bool = True, **fields: Any) -> None:
        """Writes one event; with `durable` it survives a crash of the machine once this returns.

        Raises LockLostError where somebody else wrote since, and StorageError where the disk does not take the whole
        line; of either event nothing is left, nor counted.
        """
        with self._lock:
            # The time too: the record's times only rise.
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
        """LockLostError, now and ever after, where somebody else has written to the file or removed it."""
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
    """Reads a journal that another process appends to, each line once; a line not yet whole waits for the next read."""

    def __init__(self, path: Path) -> None:
        self.state = StudyState()
        self.whole_bytes = 0
        self._path = path

    def read(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as lines:
            lines.seek(self.whole_bytes)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                try:
                    self.state.apply(json.loads(line))
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise PreflightError(
                        f"{self._path} is damaged after byte {self.whole_bytes} ({type(error).__name__}: {error}); "
                        "restore it from a copy, or search again under another name with --name."
                    ) from None
                self.whole_bytes += len(line)


def read_state(path: Path) -> StudyState:
    """The state of a running or finished study, without disturbing its writer."""
    return _fold(path)[0]


def _fold(path: Path) -> tuple[StudyState, int]:
    tail = JournalTail(path)
    tail.read()
    return tail.state, tail.whole_bytes
