"""The version of the running code: its checkout, its commit and the versions of the packages that decide results."""

import platform
import subprocess
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

COMMIT_FILE = "COMMIT"
"""File that holds the commit where the code was sent to a cluster without its repository."""
OWN_PACKAGES = ("orchestrator", "trainables", "search_spaces")
PACKAGES = ("aib-orchestrator", "torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "pyarrow")


def checkout_root() -> Path | None:
    """The root folder of the checkout; None if our packages are installed in site-packages."""
    here = Path(__file__).resolve()
    installed = Path(sysconfig.get_paths()["purelib"]).resolve() in here.parents
    return None if installed else here.parents[2]


def provenance() -> dict[str, str]:
    """Git commit (with `-dirty` if files differ), Python version, package versions and processor architecture."""
    facts = {"python": platform.python_version(), "machine": platform.machine(), "git_commit": git_commit()}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def git_commit() -> str:
    """The commit of the checkout that this code runs from or was sent from; `unknown` for an installed package."""
    root = Path(__file__).resolve().parents[2]
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
