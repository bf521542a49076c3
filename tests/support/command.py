"""The command as a user runs it: in a process of its own, and what it left in the record."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def environment() -> dict[str, str]:
    """A user's: without the cluster that other tests share, whose address and token are in ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AIB_"))}


def aib(root: Path, *arguments: str, timeout_s: float = 400) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments, "--root", str(root)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )


def answer(root: Path, *arguments: str) -> dict[str, Any]:
    done = aib(root, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def runs_of(root: Path, study: str) -> list[Any]:
    from orchestrator.tracking.mlflow.store import local_tracking_uri, mlflow_client

    client = mlflow_client(local_tracking_uri(root))
    experiment = client.get_experiment_by_name(study)
    return list(client.search_runs([experiment.experiment_id], max_results=1000))
