"""Publishes an exported folder: stores it, reads it back, registers it as a version, and sets the alias last.

A kill at any moment leaves no version whose files were not compared with ours, and leaves either the former or the new
champion. Publishing the same files again continues from there.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.registry.package import package
from orchestrator.registry.versions import CHAMPION, MODEL_ID_TAG, Version, download, fetch, to_version
from orchestrator.tracking.mlflow.store import mlflow_client
from trainables.checkpoints.checkpoint import MANIFEST
from trainables.errors import CheckpointError
from trainables.export import CONFIG, LoadedModel, load_exported

PREVIOUS = "previous"
"""Alias of the champion before the present one, for a rollback."""
MANIFEST_TAG = "aib.manifest_sha256"
SETTLE_S = 1.0
"""Longer than another process needs from reading the champion to setting its own."""


def publish(
    uri: str, run_id: str, folder: Path, name: str, tags: Mapping[str, str], alias: str, example_NHWC: np.ndarray
) -> Version:
    """Logs an exported model as an output of a run and registers it as a version of `name` with an alias.

    A version that the same run registered from the same files is used again. Raises CheckpointError, and registers
    nothing, if `folder` was changed after its export or the store returns other files than it was given.
    """
    load_exported(folder)
    client = mlflow_client(uri)
    _ensure_registered_model(client, name)
    tags = {**tags, MANIFEST_TAG: _sha256(folder / MANIFEST)}
    found = _registered_before(uri, client, name, run_id, tags[MANIFEST_TAG])
    if found is None:
        found = _register(uri, client, run_id, folder, name, tags, example_NHWC)
    if alias == CHAMPION:
        _promote(client, found)
    else:
        client.set_registered_model_alias(name, alias, found.version)
    return found._replace(alias=alias)


def load_version(uri: str, found: Version, scratch: Path) -> tuple[LoadedModel, Path]:
    """Loads a version's model and returns it with its files below `scratch`; CheckpointError if a file was changed."""
    exported = download(uri, found, scratch)
    expected, manifest = found.tags.get(MANIFEST_TAG), exported / MANIFEST
    # Checked first, so that no other file of a forged folder is read.
    if expected is not None and manifest.is_file() and _sha256(manifest) != expected:
        raise CheckpointError(
            f"the stored {MANIFEST} of {found.name} version {found.version} is not the registered one (its SHA-256 "
            "differs): the files were changed. Do not use them; publish the model again with: aib promote"
        )
    return load_exported(exported), exported


def _register(
    uri: str,
    client: Any,
    run_id: str,
    folder: Path,
    name: str,
    tags: Mapping[str, str],
    example_NHWC: np.ndarray,
) -> Version:
    """Stores the packaged model, compares the files that the store returns with it, then registers it."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    described = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    params = {key: str(value) for key, value in described["trial"].items()}
    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, params=params, model_type="aib")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            packaged = package(folder, Path(scratch) / "model", example_NHWC)
            client.log_model_artifacts(logged.model_id, str(packaged))
            _compare(packaged, fetch(uri, logged.artifact_location, Path(scratch) / "back"))
    except BaseException:
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
        raise
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    created = client.create_model_version(
        name,
        source=logged.artifact_location,
        run_id=run_id,
        tags={**tags, MODEL_ID_TAG: logged.model_id},
        model_id=logged.model_id,
    )
    return to_version(created, None)


def _registered_before(uri: str, client: Any, name: str, run_id: str, manifest: str) -> Version | None:
    """The newest version that this run registered from these files and whose files are still intact."""
    versions = [to_version(found, None) for found in client.search_model_versions(f"name = '{name}'")]
    for found in sorted(versions, key=lambda version: -int(version.version)):
        if found.run_id == run_id and found.tags.get(MANIFEST_TAG) == manifest:
            try:
                with tempfile.TemporaryDirectory() as scratch:
                    load_version(uri, found, Path(scratch))
            except CheckpointError:
                continue
            return found
    return None


def _ensure_registered_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _promote(client: Any, new: Version) -> None:
    """Makes a version the champion and gives its predecessor the alias PREVIOUS.

    The registry has no transactions. On a concurrent promotion, the writer that sees the other's alias takes PREVIOUS
    for its own version, so neither is lost. It looks after SETTLE_S, when a writer that saw no champion has finished.
    """
    before = _champion(client, new.name)
    # PREVIOUS first: a kill between the two lines must not lose the predecessor.
    if before not in (None, new.version):
        client.set_registered_model_alias(new.name, PREVIOUS, before)
    client.set_registered_model_alias(new.name, CHAMPION, new.version)
    time.sleep(SETTLE_S)
    if _champion(client, new.name) != new.version:
        client.set_registered_model_alias(new.name, PREVIOUS, new.version)


def _champion(client: Any, name: str) -> str | None:
    found = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if found is None else str(found)


def _compare(sent: Path, back: Path) -> None:
    """Raises CheckpointError unless two folders contain the same files."""
    ours, theirs = _digests(sent), _digests(back)
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if different:
        raise CheckpointError(
            f"the artifact store returned other files than it was given: {', '.join(different[:5])}. Nothing was "
            "registered; check the store, then publish again with: aib promote"
        )


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
