"""Prepares the MLflow store: settings of its client, its address, whether it answers, the study's experiment.

`configure_mlflow` is the only place that sets MLflow's environment variables; a value set by the user wins.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from orchestrator.errors import PreflightError, first_line
from orchestrator.process.redact import redact, without_userinfo
from orchestrator.study.sqlite_address import MISREAD, sqlite_address
from orchestrator.tracking.mlflow.reachability import (
    DATABASE_PORTS,
    check_database_server,
    check_host,
    is_database_server,
)
from orchestrator.tracking.mlflow.sqlite_store import (
    ARTIFACTS,
    database_file,
    follow_move,
    follow_move_if_possible,
    make_database,
)
from trainables.errors import ConfigError

_SETTINGS = {
    # With MLflow's defaults (7 retries, 120 s) a call to a dead server lasts minutes; our records wait on disk instead.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Otherwise every run that ends over HTTP prints its address to stdout, which is reserved for --json.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A progress bar per file would overwrite our own table.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Seconds; a client of PostgreSQL waits without end for a server that accepts a connection and says nothing.
    "PGCONNECT_TIMEOUT": "10",
}
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
_TRAINING = ("mlflow.experimentKind", "custom_model_development")
"""Tag that makes MLflow's user interface show training runs instead of traces of language models."""
FORMS = (
    "http(s)://HOST:PORT of an MLflow server, sqlite:////ABSOLUTE/PATH/mlflow.db, or postgresql+psycopg2://HOST/NAME"
)


def configure_mlflow() -> None:
    """Must run before MLflow is imported, because its telemetry starts at import."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow.store.db.utils", "mlflow.system_metrics", "alembic"):
        # They print a traceback for errors that are raised to us anyway, and a line per migration.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # It announces a wait for a new version that is available at once.
    logging.getLogger("mlflow.store.model_registry.abstract_store").setLevel(logging.WARNING)


def mlflow_client(tracking_uri: str) -> Any:
    """An MlflowClient with our settings.

    Raises ConfigError for an invalid address, and PreflightError, within seconds, for a database server that cannot be
    used. A SQLite store that was moved gets the present locations of its artifacts.
    """
    check_tracking_uri(tracking_uri)
    configure_mlflow()
    check_database_server(tracking_uri)
    if (file := database_file(tracking_uri)) is not None:
        follow_move_if_possible(file)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri)


def local_tracking_uri(root: str | Path) -> str:
    """The default store: `ROOT/mlflow.db`; raises ConfigError for a root whose databases have no address."""
    return sqlite_address(Path(root).resolve() / "mlflow.db")


def tracking_uri_or_local(root: str | Path, given: str | None) -> str:
    """The given store, or the default store under the root; the path of a SQLite file is made absolute."""
    if not given:
        return local_tracking_uri(root)
    file = database_file(given)
    if file is None or file.is_absolute():
        return given
    scheme, _, rest = given.partition(":///")
    return f"{scheme}:///{file.absolute()}{rest.removeprefix(str(file))}"


def artifact_root(tracking_uri: str, root: Path) -> Path | None:
    """Where a store's artifacts go: beside a SQLite file, under the root for a database server, None for an MLflow
    server, which decides by itself."""
    if (file := database_file(tracking_uri)) is not None:
        return file.resolve().parent / ARTIFACTS
    return None if urlsplit(tracking_uri).scheme in ("http", "https") else root / ARTIFACTS


def check_tracking_uri(tracking_uri: str) -> None:
    """Raises ConfigError if this cannot be the address of a store of runs and models."""
    if fault := _fault_of(tracking_uri):
        shown = redact(tracking_uri)
        raise ConfigError(f"--tracking-uri (or MLFLOW_TRACKING_URI) is '{shown}', {fault}; allowed: {FORMS}.")


def is_made(tracking_uri: str) -> bool:
    """False if this is a SQLite database that does not exist; MLflow would create it even for a read."""
    file = database_file(tracking_uri)
    return file is None or file.exists()


def prepare_store(tracking_uri: str, study: str | None = None, artifact_root: str | Path | None = None) -> str | None:
    """Makes sure that the store answers and has its schema and, if a study is named, the study's experiment.

    Creates a local database, which takes 7-8 s the first time. Returns the experiment's id, or None without a study.
    Raises ConfigError for an invalid address. Raises PreflightError, within seconds, if the store is unreachable,
    refuses this account, or has a deleted experiment of that name.
    """
    shown = redact(tracking_uri)
    check_tracking_uri(tracking_uri)
    if (file := database_file(tracking_uri)) is not None:
        make_database(file)
    if not is_database_server(tracking_uri):
        check_host(tracking_uri)
    try:
        with _environment(_QUICK):
            client = mlflow_client(tracking_uri)
            if file is not None and study is not None:
                follow_move(file, study)
            client.search_experiments(max_results=1)
            return find_or_create_experiment(client, study, artifact_root) if study is not None else None
    except PreflightError:
        raise
    except Exception as error:
        raise PreflightError(
            f"the tracking store {shown} cannot be used: {redact(first_line(error))}. {advice(tracking_uri, error)}"
        ) from error


def find_or_create_experiment(client: Any, study: str, artifact_root: str | Path | None) -> str:
    """Returns the id of the study's experiment; raises PreflightError if an experiment of that name was deleted.

    Artifacts go under `artifact_root/study`; without a root the server decides. The tag is written every time, so that
    a server that allows this account only to read the experiment refuses now and not after the first epoch.
    """
    found = client.get_experiment_by_name(study) or _create_experiment(client, study, artifact_root)
    if found.lifecycle_stage != "active":
        raise PreflightError(
            f"the MLflow experiment '{study}' was deleted. Give the study another --name, or bring it back with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`."
        )
    client.set_experiment_tag(found.experiment_id, *_TRAINING)
    return str(found.experiment_id)


def run_page(tracking_uri: str, experiment_id: str, run_id: str | None) -> str | None:
    """The address of a run's page, or of its experiment's page, in the user interface; None without a server.

    `workflowType` makes the interface open on training runs instead of language-model traces.
    """
    if urlsplit(tracking_uri).scheme not in ("http", "https"):
        return None
    server = without_userinfo(tracking_uri).rstrip("/")
    where = f"experiments/{experiment_id}" + (f"/runs/{run_id}" if run_id else "/runs")
    return f"{server}/#/{where}?workflowType=machine_learning"


def _create_experiment(client: Any, study: str, artifact_root: str | Path | None) -> Any:
    from mlflow.exceptions import MlflowException

    location = None
    if artifact_root is not None:
        location = Path(artifact_root).resolve().as_uri() + "/" + quote(study)
    try:
        client.create_experiment(study, artifact_location=location)
    except MlflowException as error:
        # Another driver has created it meanwhile.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.get_experiment_by_name(study)


def _fault_of(tracking_uri: str) -> str | None:
    try:
        parts = urlsplit(tracking_uri)
        _ = parts.port
    except ValueError:
        # Python's own message may quote a password.
        return "whose host or port cannot be read"
    kind = parts.scheme.partition("+")[0]
    if kind in ("", "file"):
        return "and MLflow no longer writes to plain folders"
    if kind not in ("http", "https", "sqlite", *DATABASE_PORTS):
        return "where MLflow keeps no records"
    if kind == "sqlite":
        return _fault_of_sqlite(tracking_uri)
    return "which names no host" if kind.startswith("http") and not parts.hostname else None


def _fault_of_sqlite(tracking_uri: str) -> str | None:
    file, query = database_file(tracking_uri), tracking_uri.partition("?")[2]
    if file is None:
        return "which names no file"
    if MISREAD.search(str(file)) or "/" in query:
        return "whose path has a question mark or a percent sign with two hexadecimal digits, which MLflow misreads"
    return None


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    configure_mlflow()
    before = {name: os.environ[name] for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.update(before)


def advice(tracking_uri: str, error: BaseException) -> str:
    """Says what to do about a store that answers with an error or not at all."""
    code = getattr(error, "error_code", "")
    if "Invalid Host header" in str(error):
        return "Add its name, as written in --tracking-uri, to the server's --allowed-hosts."
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        return "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
    if code == "PERMISSION_DENIED":
        account = os.environ.get("MLFLOW_TRACKING_USERNAME")
        return (
            f"The account {account!r} is not allowed to do this; " if account else "This account may not do this; "
        ) + "ask the owner or the server's administrator for permission, or give the study another --name."
    if "out-of-date database schema" in str(error):
        return "Back it up and run `mlflow db upgrade URI`."
    if tracking_uri.startswith("sqlite"):
        return "Choose another --root or --tracking-uri, or move the file away."
    return "Check --tracking-uri (or MLFLOW_TRACKING_URI) and the server's log."
