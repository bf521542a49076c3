"""A registered model to a folder on this machine, whole or not at all."""

import os
import tempfile
from pathlib import Path

from orchestrator.errors import PreflightError
from orchestrator.registry.publish import load_version
from orchestrator.registry.versions import Version, find_version
from trainables.export import LoadedModel


def pull(uri: str, reference: str, target: Path) -> Path:
    """Downloads NAME, NAME@alias or NAME/number to `target`, verified; PreflightError where something is in its way."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PreflightError(f"{target} is not an empty folder; give another one, or empty it.")
    found = find_version(uri, reference)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        _, folder = load_version(uri, found, Path(scratch))
        if target.exists():
            target.rmdir()
        os.replace(folder, target)
    return target


def load_registered(uri: str, reference: str) -> tuple[Version, LoadedModel]:
    """A registered model in memory, with its version; the downloaded files are gone again."""
    found = find_version(uri, reference)
    with tempfile.TemporaryDirectory(prefix="aib-model-") as scratch:
        return found, load_version(uri, found, Path(scratch))[0]
