"""Time to the first epoch: seconds from the command to the end of the first trial's first epoch, on a local Ray.

Ours: `aib search` on a new root whose data set is prepared. Other: a script with Ray's documented pattern, a Tune
function that fits a TorchTrainer, which trains the same model on the same data and tracks nothing. Both start a local
Ray of their own. The parts of our start are `start_s` of `aib status --json`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.support.measure import Figure, interleave, median, run
from orchestrator.study.journal import read_state
from orchestrator.study.paths import study_paths
from trainables.config.trial import TrialConfig
from trainables.data.prepare import prepare

LIMIT_S = 300.0
LOOK_S = 0.05
TRIAL = {
    "model": "vgg-aib-qt",
    "model.width": 0.0625,
    "dataset": "cluttered-digits",
    "epochs": 2,
    "data": {"image_size": 16, "train_images": 200, "val_images": 50, "test_images": 50, "crop_padding": 1},
    "optim.batch_size": 32,
    "evaluation": {
        "interp_images": 10,
        "occluder_dataset": "cluttered-digits",
        "attention_samples": 1,
        "latent_samples": 1,
    },
}
STUDY = {
    "name": "first",
    "trial": TRIAL,
    "space": {"bottleneck.beta": {"power_of_ten": [2, 3]}},
    "sampler": "random",
    "trials": 1,
    "finalists": {"top": 1, "seeds": 1},
    "resources": {"max_concurrent": 1},
}


def measure(chosen: argparse.Namespace) -> Figure:
    rounds = 1 if chosen.quick else 5
    parts: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare("cluttered-digits", folder / "data", 16)

        def ours() -> float:
            seconds, found = search(Path(tempfile.mkdtemp(dir=folder)), folder / "data")
            parts.append(found)
            return seconds

        def other() -> float:
            return pattern(Path(tempfile.mkdtemp(dir=folder)), folder / "data")

        found = interleave({"ours": ours, "other": other}, rounds)
    ours_s, other_s = median(found["ours"]), median(found["other"])
    return Figure(
        name="time_to_first_epoch",
        ours=ours_s,
        other=other_s,
        ratio=ours_s / other_s,
        unit="s from the command to the first epoch",
        what={
            "ours": "aib search on a local Ray, with its checks and MLflow record",
            "other": "a script with a Tune function that fits a TorchTrainer, without checks and record",
            "ratio": "ours / other",
        },
        details={
            "seconds": found,
            "parts_s": {name: median([each[name] for each in parts]) for name in (parts[0] if parts else {})},
        },
    )


def search(root: Path, data: Path) -> tuple[float, dict[str, float]]:
    """Returns seconds until the journal has the first epoch, and the parts of the start."""
    (root / "data").symlink_to(data)
    spec = root / "first.yaml"
    spec.write_text(yaml.safe_dump(STUDY))
    journal = study_paths(root, "first").journal

    def reported() -> bool:
        return any(trial.epoch for trial in read_state(journal).trials.values())

    seconds = _until(reported, [sys.executable, "-m", "orchestrator", "search", str(spec), "--root", str(root)], root)
    return seconds, dict(read_state(journal).start_s)


def pattern(folder: Path, data: Path) -> float:
    log = folder / "out"
    trial: dict[str, Any] = TrialConfig.from_dict({**TRIAL, "bottleneck.beta": 0.01}).to_dict()
    command = [
        sys.executable,
        "-m",
        "benchmarks.support.first_epoch_pattern",
        str(data),
        str(folder),
        json.dumps(trial),
    ]
    return _until(lambda: b"first epoch" in log.read_bytes(), command, folder)


def _until(reached: Callable[[], bool], command: list[str], folder: Path) -> float:
    """Runs the command until the condition holds, and ends it; returns the seconds until then."""
    began_s = time.perf_counter()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True, env=_environment())
    try:
        while not reached():
            if process.poll() is not None or time.perf_counter() - began_s > LIMIT_S:
                raise RuntimeError(f"no epoch was reported:\n{(folder / 'err').read_text(errors='replace')[-2000:]}")
            time.sleep(LOOK_S)
        return time.perf_counter() - began_s
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)


def _environment() -> dict[str, str]:
    return {**os.environ, "RAY_AUTH_MODE": "token", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    sys.exit(run(__doc__, measure))
