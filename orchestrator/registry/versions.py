"""Registered versions: found by what a person calls them, listed, fetched."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import PreflightError, first_line
from orchestrator.process.redact import redact
from orchestrator.registry.package import exported_in
from orchestrator.tracking.mlflow.store import advice, configure_mlflow, is_made, mlflow_client
from search_spaces.names import check_name
from trainables.errors import CheckpointError, ConfigError
from trainables.export import CONFIG

CHAMPION = "champion"
MODEL_ID_TAG = "aib.model_id"
"""SQLite and PostgreSQL registries do not keep a version's `model_id` themselves."""
# SQLAlchemy stores answer an unknown alias with the second, servers in front of others with the third.
_UNKNOWN_CODES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


class UnknownModelError(PreflightError):
    """The registry answers, and has no such model, version or alias."""


class DeniedModelError(PreflightError):
    """The registry has the model, and does not let this account see it or change it."""


class Version(NamedTuple):
    """A registered version."""

    name: str
    version: str
    alias: str | None
    model_id: str
    run_id: str
    tags: dict[str, str]


def find_version(uri: str, reference: str) -> Version:
    """A version by NAME (its champion), NAME@alias or NAME/number.

    Raises UnknownModelError where there is none, DeniedModelError where this account may not know, PreflightError
    where the registry does not answer: they must not be confused, or a champion would be replaced unseen.
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
    client = _reader(uri)
    if client is None:
        raise UnknownModelError("no search has made it yet")
    try:
        with answering(uri):
            if number is not None:
                return to_version(client.get_model_version(name, number), None)
            return to_version(client.get_model_version_by_alias(name, alias), alias)
    except DeniedModelError:
        # Basic auth denies versions of a model that is not there; of the model itself it tells the truth.
        with answering(uri):
            client.get_registered_model(name)
        raise


def _reader(uri: str) -> Any | None:
    """A client of a registry that is there; None of a database that is not, which MLflow would make for a look."""
    return mlflow_client(uri) if is_made(uri) else None


def _known(uri: str) -> str:
    client = _reader(uri)
    with answering(uri):
        models = [] if client is None else client.search_registered_models()
        return ", ".join(sorted(model.name for model in models)) or "none yet"


def list_versions(uri: str) -> list[Version]:
    """Every version of every registered model, newest first within a model; one row an alias."""
    client = _reader(uri)
    rows: list[Version] = []
    if client is None:
        return rows
    with answering(uri):
        for model in client.search_registered_models():
            aliases: dict[str, list[str | None]] = {}
            for alias, number in sorted(model.aliases.items()):
                aliases.setdefault(str(number), []).append(alias)
            versions = client.search_model_versions(f"name = '{model.name}'")
            for found in sorted(versions, key=lambda v: -int(v.version)):
                rows += [to_version(found, alias) for alias in aliases.get(str(found.version), [None])]
    return rows


def download(uri: str, found: Version, folder: Path) -> Path:
    """Downloads a version's files into `folder`; the path of the exported model among them, not yet verified.

    Raises CheckpointError where the store refuses to hand them over, as MLflow does with links that lead out of it.
    """
    with answering(uri):
        location = mlflow_client(uri).get_model_version_download_uri(found.name, found.version)
    try:
        with answering(uri):
            exported = exported_in(fetch(uri, location, folder))
    except UnknownModelError as error:
        why = redact(" ".join(str(error.__cause__).split()))
        raise CheckpointError(
            f"the files of {found.name} version {found.version} are not all there, or not those that were stored "
            f"({why}); register the model again with: aib promote"
        ) from None
    if not (exported / CONFIG).is_file():
        raise CheckpointError(
            f"{found.name} version {found.version} holds no model that aib exported; choose another version (aib "
            "models), or register it again with: aib promote"
        )
    return exported


def fetch(uri: str, location: str, folder: Path) -> Path:
    """Downloads what is stored at an artifact location; its path, somewhere under `folder`.

    By location, since for `models:/` addresses MLflow's helper knows the registry only as a process-wide setting.
    """
    configure_mlflow()
    import mlflow.artifacts

    return Path(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=str(folder), tracking_uri=uri))


def split_reference(reference: str) -> tuple[str, str | None, str | None]:
    """(name, alias, number) of NAME, NAME@alias, NAME/number, each with or without `models:/`.

    Raises ConfigError for what no registered model of ours can be called.
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
            f"a registered model is called NAME, NAME@ALIAS or NAME/NUMBER, and a part of it {error}."
        ) from None
    return name, None if number is not None else alias, number


def to_version(found: Any, alias: str | None) -> Version:
    """MLflow's entity as ours."""
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
    """MLflow's refusals as UnknownModelError or DeniedModelError, its failures as PreflightError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    # Artifacts are fetched without MLflow's own error type: what requests raises is an OSError.
    except (MlflowException, OSError) as error:
        said = redact(first_line(error))
        code = getattr(error, "error_code", "")
        if code in _UNKNOWN_CODES:
            raise UnknownModelError(said) from error
        kind = DeniedModelError if code == "PERMISSION_DENIED" else PreflightError
        raise kind(f"the model registry {redact(uri)} cannot be used: {said}. {advice(uri, error)}") from error
