"""From an exported folder to a registered version: stored, read back, registered, and last given its alias.

Whatever moment the process dies at, no version exists whose files were not compared with ours, and the champion is
the former one or the new one. Publishing the same files again goes on from there.
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
"""Alias of the champion before the present one, to go back to."""
MANIFEST_TAG = "aib.manifest_sha256"
SETTLE_S = 1.0
"""Longer than another process needs from its look at the champion to crowning its own."""


def publish(
    uri: str, run_id: str, folder: Path, name: str, tags: Mapping[str, str], alias: str, example_NHWC: np.ndarray
) -> Version:
    """Registers an exported model, logged as an output of a run, as a version of `name` under an alias.

    A version that the same run registered from the same files is used again. Raises CheckpointError where `folder`
    was altered, or where the store gives back other files than it was given; then nothing is registered.
    """
    load_exported(folder)
    client = mlflow_client(uri)
    _ensure_registered_model(client, name)
    tags = {**tags, MANIFEST_TAG: _sha256(folder / MANIFEST)}
    found = _registered_before(uri, client, name, run_id, tags[MANIFEST_TAG])
    if found is None:
        found = _register(uri, client, run_id, folder, name, tags, example_NHWC)
    if alias == CHAMPION:
        _crown(client, found)
    else:
        client.set_registered_model_alias(name, alias, found.version)
    return found._replace(alias=alias)


def load_version(uri: str, found: Version, scratch: Path) -> tuple[LoadedModel, Path]:
    """A version's model, and its files under `scratch`; CheckpointError unless they are whole and those registered."""
    exported = download(uri, found, scratch)
    expected, manifest = found.tags.get(MANIFEST_TAG), exported / MANIFEST
    # First, so that nothing of a folder that somebody made up is looked at.
    if expected is not None and manifest.is_file() and _sha256(manifest) != expected:
        raise CheckpointError(
            f"the stored {MANIFEST} of {found.name} version {found.version} is not the one it was registered with (its "
            "SHA-256 differs): somebody changed the files. Do not use them; publish the model again with: aib promote"
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
    """Stores the packaged model, compares what the store gives back file by file, then registers it."""
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
    """The newest version that this run registered from these files and that still has them."""
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


def _crown(client: Any, new: Version) -> None:
    """Makes a version the champion and keeps the one before it under PREVIOUS.

    The registry has no transactions: of two that are crowned at the same moment the one that finds the other in its
    place steps back, so that neither is lost. It looks once another one, which may have seen no champion yet, is done.
    """
    before = _champion(client, new.name)
    # First, or a kill between the two would leave nobody who knows it.
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
    """CheckpointError unless two folders hold the same files."""
    ours, theirs = _digests(sent), _digests(back)
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if different:
        raise CheckpointError(
            f"the artifact store gave back other files than it was given: {', '.join(different[:5])}. Nothing was "
            "registered; check the store, then publish again with: aib promote"
        )


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
