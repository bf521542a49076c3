"""Tiny searches through the command, recorded by the server: what a user types on a laptop."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.mlflow_deployment import Account
from tests.support.server_processes import without_ours

MODEL = "aib-server"
_SPEC = """
name: {name}
trial:
  model: vgg-aib-qt
  model.width: 0.0625
  bottleneck.latent_dim: 8
  dataset: cluttered-digits
  epochs: 2
  data: {{image_size: 16, train_images: 120, val_images: 40, test_images: 40, crop_padding: 1}}
  optim: {{batch_size: 32, lr: 0.02}}
  evaluation: {{interp_images: 10, occluder_dataset: cluttered-digits, attention_samples: 2, latent_samples: 2}}
space:
  bottleneck.beta: {{power_of_ten: [2, 3]}}
scheduler: none
sampler: {{name: random, seed: {seed}}}
trials: 2
finalists: {{top: 1, seeds: 1}}
resources: {{cpus_per_worker: 1, max_concurrent: 1}}
# Whichever of two searches comes second is registered too.
gate: {{error_margin_pct: 100, interpretability_margin_pct: 200, min_attention_std: 0, max_chance: 1}}
registered_model: {model}
"""


class Searched(NamedTuple):
    """A search that ended well."""

    root: Path
    found: dict[str, Any]
    said: str


def write_spec(folder: Path, name: str, seed: int = 0, model: str = MODEL) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(_SPEC.format(name=name, seed=seed, model=model))
    return path


def environment(uri: str, account: Account | None, home: Path) -> dict[str, str]:
    """A user's own: the server's address, an account, a Ray token in a home of their own."""
    return {
        **without_ours(),
        "MLFLOW_TRACKING_URI": uri,
        **(account.environment if account else {}),
        "RAY_AUTH_TOKEN_PATH": str(home / "ray-token"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "400",
    }


def start(
    uri: str, account: Account | None, home: Path, *arguments: str, cwd: Path | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        env={**environment(uri, account, home), "PYTHONPATH": os.getcwd()} if cwd else environment(uri, account, home),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    uri: str, account: Account | None, home: Path, *arguments: str, cwd: Path | None = None, timeout_s: float = 400
) -> subprocess.CompletedProcess[str]:
    process = start(uri, account, home, *arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        end(process)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def end(process: subprocess.Popen[str]) -> None:
    """Asks first: a driver that is killed outright leaves its Ray cluster to notice that by itself."""
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=60)
