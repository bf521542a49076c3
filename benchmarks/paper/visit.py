"""A visit: a stay of some minutes on a machine, which runs `trainables.run` on a trial's folder until the time is up.

Only the folder travels from visit to visit. `checkpoints/` holds the trial. `visits.json` holds the time of each visit;
it is rewritten after every epoch, so a killed visit counts, too. `diverged.json` says why a trial cannot continue.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.support.measure import machine, versions
from trainables.checkpoints.checkpoint import latest_checkpoint, read_state
from trainables.config.trial import TrialConfig
from trainables.errors import CheckpointError, DivergedError
from trainables.runtime.atomic_file import replace_file

VISITS, DIVERGED = "visits.json", "diverged.json"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """The settings that all trials of a visit share."""

    data_root: Path
    sources: Mapping[str, Path]
    """Data set -> Parquet folder or archive, for a data set that is not prepared yet."""
    minutes: float
    save_every: int
    started_s: float

    @property
    def left_minutes(self) -> float:
        return self.minutes - (time.monotonic() - self.started_s) / 60


class Trial(NamedTuple):
    """A trial as its newest complete checkpoint describes it."""

    config: TrialConfig
    state: Mapping[str, Any]
    checkpoint: Path
    folder: Path

    @property
    def history(self) -> list[dict[str, float]]:
        """A row of metrics an epoch."""
        rows: list[dict[str, float]] = self.state["history"]
        return rows

    @property
    def epoch(self) -> int:
        return int(self.state["epoch"])

    @property
    def finished(self) -> bool:
        return self.epoch == self.config.epochs

    def best_row(self, until: int | None = None) -> dict[str, float]:
        """The epoch with the lowest validation error among the first `until`, chosen as in training."""
        return min(self.history[:until], key=lambda row: (row["val_error_pct"], row["val_nll"]))

    @property
    def visits(self) -> list[dict[str, Any]]:
        return _visits(self.folder)

    @property
    def epoch_seconds(self) -> list[float]:
        """Wall time of each epoch with evaluation and checkpoint; a visit's first epoch also contains the start."""
        return [float(seconds) for visit in self.visits for seconds in visit.get("epoch_seconds", ())]

    @property
    def seconds(self) -> float:
        """Wall time of all visits with starts and evaluation."""
        return sum(float(visit["seconds"]) for visit in self.visits)


def read_trial(folder: Path) -> Trial | None:
    """Reads a trial's folder; None if no epoch was saved."""
    newest = latest_checkpoint(folder)
    if newest is None:
        return None
    state = read_state(newest)
    return Trial(TrialConfig.from_dict(state["config"]), state, newest, folder)


def begun(config: TrialConfig, folder: Path) -> Trial | None:
    """Reads the folder of this trial; raises CheckpointError if the folder holds another trial."""
    found = read_trial(folder)
    if found is not None and found.config != config:
        ours, theirs = config.to_dict(), found.config.to_dict()
        differing = ", ".join(key for key in ours if ours[key] != theirs[key])
        raise CheckpointError(
            f"{folder} has a trial with other values of {differing}; use those values, or give another --out."
        )
    return found


def diverged(folder: Path) -> str | None:
    """Why a trial cannot continue; None if it can."""
    path = folder / DIVERGED
    return str(json.loads(path.read_text(encoding="utf-8"))["diverged"]) if path.exists() else None


def train_further(config: TrialConfig, folder: Path, visit: Visit, until: int | None = None) -> Trial:
    """Trains to the trial's end, to epoch `until`, or until the visit's time is up; at least one epoch.

    Raises CheckpointError if the folder holds another trial, DivergedError if the loss is not finite, now or in an
    earlier visit, and ValueError if the trial fails otherwise.
    """
    if (why := diverged(folder)) is not None:
        raise DivergedError(f"{why} It diverged in an earlier visit; remove {folder} to train it again.")
    begun(config, folder)
    command = [sys.executable, "-m", "trainables.run", "--out", str(folder), "--data-root", str(visit.data_root)]
    command += ["--minutes", str(max(0.0, visit.left_minutes)), "--save-every", str(visit.save_every)]
    command += [] if until is None else ["--until-epoch", str(until)]
    source = visit.sources.get(config.data.name)
    command += [] if source is None else ["--from", str(source)]
    command += [f"{key}={json.dumps(value)}" for key, value in config.to_dict().items()]
    threads = {"OMP_NUM_THREADS": str(config.numerics.num_threads)}
    earlier, started_s = _visits(folder), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads}) as process:
        assert process.stdout is not None
        epochs, epoch_seconds, told_s = [], [], started_s
        for line in process.stdout:
            if not line.startswith("{"):
                print(line, end="", file=sys.stderr)
                continue
            row = json.loads(line)
            if "diverged" in row:
                _write(folder / DIVERGED, row)
            if "epoch" not in row:
                continue
            epochs.append(int(row["epoch"]))
            before_s, told_s = told_s, time.monotonic()
            epoch_seconds.append(told_s - before_s)
            now = {"seconds": told_s - started_s, "epochs": [epochs[0], epochs[-1]], "epoch_seconds": epoch_seconds}
            _write(folder / VISITS, [*earlier, {**now, "machine": machine(), "versions": versions()}])
            print(
                f"{folder.name} epoch {epochs[-1]} of {config.epochs}: val error {row['val_error_pct']:.2f} %, "
                f"test error {row['test_error_pct']:.2f} %, {row['images_per_s']:,.0f} images/s",
                file=sys.stderr,
            )
    if process.returncode:
        if (why := diverged(folder)) is not None:
            raise DivergedError(why)
        raise ValueError(f"trainables.run ended with status {process.returncode}; its messages above say why.")
    after = read_trial(folder)
    assert after is not None
    return after


def _visits(folder: Path) -> list[dict[str, Any]]:
    path = folder / VISITS
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def _write(path: Path, value: Any) -> None:
    replace_file(path, json.dumps(value, indent=1), aside=path.with_suffix(".tmp"))
