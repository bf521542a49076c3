"""Runs a benchmark as a user does, `python -m benchmarks.NAME --quick`, and checks the form of what it prints."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.repository import ROOT

KEYS = {"name", "ours", "other", "ratio", "unit", "what", "details", "quick", "machine", "versions"}


def quick(script: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """The figure: the one JSON object on stdout."""
    result = start(script, "--quick", *arguments, **environment)
    assert result.returncode == 0, result.stderr[-4000:]
    figure: dict[str, Any] = json.loads(result.stdout)
    assert set(figure) == KEYS
    assert figure["quick"] is True
    assert set(figure["what"]) == {"ours", "other", "ratio"}
    assert all(figure[key] > 0 for key in ("ours", "other", "ratio"))
    assert {"python", "torch", "numpy"} <= set(figure["versions"])
    assert figure["machine"]["processor"]
    return figure


def start(script: str, *arguments: str, timeout_s: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
