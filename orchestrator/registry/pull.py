"""A registered model to a folder on this machine, whole or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

from orchestrator.errors import PreflightError
from orchestrator.registry.publish import Version, download, find_version
from trainables.export import LoadedModel, load_exported


def pull(uri: str, reference: str, target: Path) -> Path:
    """Downloads NAME, NAME@alias or NAME/number to `target`, verified; PreflightError where something is in its way."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PreflightError(f"{target} is not an empty folder; give another one, or empty it.")
    found = find_version(uri, reference)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        folder = download(uri, f"models:/{found.name}/{found.version}", Path(scratch))
        load_exported(folder)
        if target.exists():
            target.rmdir()
        os.replace(folder, target)
    return target


def load_registered(uri: str, reference: str) -> tuple[Version, LoadedModel]:
    """A registered model in memory, with its version; the downloaded files are gone again."""
    found = find_version(uri, reference)
    scratch = Path(tempfile.mkdtemp(prefix="aib-model-"))
    try:
        return found, load_exported(download(uri, f"models:/{found.name}/{found.version}", scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
