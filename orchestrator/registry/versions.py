"""Finds, lists and downloads registered versions."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import PreflightError, first_line
from orchestrator.process.redact import redact
from orchestrator.registry.package import exported_in
from orchestrator.tracking.mlflow.sqlite_store import check_database, database_file, present_location
from orchestrator.tracking.mlflow.store import (
    advice,
    check_tracking_uri,
    configure_mlflow,
    is_made,
    mlflow_client,
)
from search_spaces.names import check_name
from trainables.errors import CheckpointError, ConfigError
from trainables.export import CONFIG

CHAMPION = "champion"
MODEL_ID_TAG = "aib.model_id"
"""Tag that keeps a version's `model_id`: SQLite and PostgreSQL registries do not store it."""
# SQLAlchemy stores answer an unknown alias with the second code, other servers with the third.
_UNKNOWN_CODES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


class UnknownModelError(PreflightError):
    """The registry answers, but has no such model, version or alias."""


class DeniedModelError(PreflightError):
    """The registry has the model, but this account may not see or change it."""


class Version(NamedTuple):
    """A registered version."""

    name: str
    version: str
    alias: str | None
    model_id: str
    run_id: str
    tags: dict[str, str]


def find_version(uri: str, reference: str) -> Version:
    """Finds a version by NAME (its champion), NAME@alias or NAME/number.

    Raises UnknownModelError if there is none, DeniedModelError if this account may not read it, and PreflightError if
    the registry does not answer. Callers must tell them apart: a champion that cannot be read must not be replaced.
    """
    name, alias, number = split_reference(reference)
    try:
        return _find(uri, name, alias, number)
    except UnknownModelError as error:
        raise UnknownModelError(
            f"no registered model '{reference}' in {redact(uri)} ({error}); registered: {_known(uri)}. List them with: "
            "aib models; --tracking-uri (or MLFLOW_TRACKING_URI) names another registry"
        ) from None


def _find(uri: str, name: str, alias: str | None, number: str | None) -> Version:
    with answering(uri):
        client = _reader(uri)
    if client is None:
        raise UnknownModelError("the registry does not exist yet")
    try:
        with answering(uri):
            if number is not None:
                return to_version(client.get_model_version(name, number), None)
            return to_version(client.get_model_version_by_alias(name, alias), alias)
    except DeniedModelError:
        # MLflow's basic auth denies versions of a model that does not exist; asked for the model, it says so.
        with answering(uri):
            client.get_registered_model(name)
        raise


def _reader(uri: str) -> Any | None:
    """A client of the registry; None if its database does not exist, because MLflow would create it on reading."""
    check_tracking_uri(uri)
    if (file := database_file(uri)) is not None:
        check_database(file)
    return mlflow_client(uri) if is_made(uri) else None


def _known(uri: str) -> str:
    with answering(uri):
        client = _reader(uri)
        models = [] if client is None else client.search_registered_models()
        return ", ".join(sorted(model.name for model in models)) or "none yet"


def list_versions(uri: str) -> list[Version]:
    """Lists every version of every registered model, newest first within a model, with one row per alias."""
    rows: list[Version] = []
    with answering(uri):
        client = _reader(uri)
        if client is None:
            return rows
        for model in client.search_registered_models():
            aliases: dict[str, list[str | None]] = {}
            for alias, number in sorted(model.aliases.items()):
                aliases.setdefault(str(number), []).append(alias)
            versions = client.search_model_versions(f"name = '{model.name}'")
            for found in sorted(versions, key=lambda v: -int(v.version)):
                rows += [to_version(found, alias) for alias in aliases.get(str(found.version), [None])]
    return rows


def download(uri: str, found: Version, folder: Path) -> Path:
    """Downloads a version's files into `folder` and returns the path of the exported model, which is not verified yet.

    Raises CheckpointError if the store refuses the files, as MLflow does for links that lead out of it.
    """
    with answering(uri):
        location = mlflow_client(uri).get_model_version_download_uri(found.name, found.version)
    if (file := database_file(uri)) is not None:
        location = present_location(file, location)
    try:
        with answering(uri):
            exported = exported_in(fetch(uri, location, folder))
    except UnknownModelError as error:
        why = redact(" ".join(str(error.__cause__).split()))
        raise CheckpointError(
            f"files of {found.name} version {found.version} are missing or were changed ({why}); register the model "
            "again with: aib promote"
        ) from None
    if not (exported / CONFIG).is_file():
        raise CheckpointError(
            f"{found.name} version {found.version} contains no model exported by aib; choose another version (see: aib "
            "models), or register it again with: aib promote"
        )
    return exported


def fetch(uri: str, location: str, folder: Path) -> Path:
    """Downloads the artifacts at a location and returns their path, which is below `folder`.

    By location, because for `models:/` addresses MLflow takes the registry from a process-wide setting.
    """
    configure_mlflow()
    import mlflow.artifacts

    return Path(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=str(folder), tracking_uri=uri))


def split_reference(reference: str) -> tuple[str, str | None, str | None]:
    """Splits NAME, NAME@alias or NAME/number, each with or without `models:/`, into (name, alias, number).

    Raises ConfigError for a reference that cannot name a registered model.
    """
    plain = reference.removeprefix("models:/")
    name, at, alias = plain.partition("@")
    number = None
    if not at:
        alias, (name, slash, given) = CHAMPION, plain.partition("/")
        number = given if slash else None
    try:
        for part in (name, alias):
            check_name(part)
        if number is not None and not re.fullmatch("[0-9]{1,9}", number, re.ASCII):
            raise ValueError(f"has the version {number[:80]!a}; allowed: a whole number")
    except ValueError as error:
        raise ConfigError(
            f"a registered model is named NAME, NAME@ALIAS or NAME/NUMBER, and a part of this name {error}."
        ) from None
    return name, None if number is not None else alias, number


def to_version(found: Any, alias: str | None) -> Version:
    """Converts MLflow's entity."""
    return Version(
        found.name,
        str(found.version),
        alias,
        found.model_id or found.tags.get(MODEL_ID_TAG, ""),
        found.run_id or "",
        dict(found.tags),
    )


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turns MLflow's refusals into UnknownModelError or DeniedModelError, and its failures into PreflightError."""
    configure_mlflow()
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    # MLflow does not convert the errors of `requests` when it downloads artifacts, nor of a database as it is opened.
    except (MlflowException, OSError, SQLAlchemyError, CommandError) as error:
        said = redact(first_line(error))
        code = getattr(error, "error_code", "")
        if code in _UNKNOWN_CODES:
            raise UnknownModelError(said) from error
        kind = DeniedModelError if code == "PERMISSION_DENIED" else PreflightError
        raise kind(f"the model registry {redact(uri)} cannot be used: {said}. {advice(uri, error)}") from error
