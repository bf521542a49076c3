"""Downloads a registered model to a folder or into memory, completely or not at all."""

import os
import tempfile
from pathlib import Path

from orchestrator.errors import PreflightError
from orchestrator.registry.publish import load_version
from orchestrator.registry.versions import Version, find_version
from trainables.export import LoadedModel
from trainables.runtime.atomic_file import apply_umask


def pull(uri: str, reference: str, target: Path) -> Path:
    """Downloads and verifies NAME, NAME@alias or NAME/number; PreflightError unless `target` is new or empty."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PreflightError(f"{target} is not an empty folder; name a new or an empty folder, or empty this one.")
    found = find_version(uri, reference)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        _, folder = load_version(uri, found, Path(scratch))
        apply_umask(folder)
        if target.exists():
            target.rmdir()
        os.replace(folder, target)
    return target


def load_registered(uri: str, reference: str) -> tuple[Version, LoadedModel]:
    """Loads a registered model into memory and returns it with its version; removes the downloaded files."""
    found = find_version(uri, reference)
    with tempfile.TemporaryDirectory(prefix="aib-model-") as scratch:
        return found, load_version(uri, found, Path(scratch))[0]
