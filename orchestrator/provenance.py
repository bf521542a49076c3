"""Where a result comes from: commit, versions, machine."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

COMMIT_FILE = "COMMIT"
"""Holds the commit beside code that was sent to a cluster without its repository."""
PACKAGES = ("aib-orchestrator", "torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "pyarrow")


def provenance() -> dict[str, str]:
    """Git commit of a checkout (with `-dirty` where files differ), Python, package versions, processor architecture."""
    facts = {"python": platform.python_version(), "machine": platform.machine(), "git_commit": git_commit()}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def git_commit() -> str:
    """The commit of the checkout this code runs from, or was sent from; `unknown` for an installed package."""
    root = Path(__file__).resolve().parents[1]
    if (root / COMMIT_FILE).is_file():
        return (root / COMMIT_FILE).read_text(encoding="utf-8").strip()
    if not (root / ".git").exists():
        return "unknown"
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
