"""Whether the server of a tracking store can be reached; finds out within seconds."""

import socket
from urllib.parse import urlsplit

from orchestrator.errors import PreflightError, first_line
from orchestrator.process.redact import redact

DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Databases that MLflow can use as a store, each with its usual port."""
_CONNECT_S = 5.0
_PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Packages with another name than their module."""
_WHAT_TO_DO = "Start it, or correct --tracking-uri (or MLFLOW_TRACKING_URI)."


def check_host(tracking_uri: str) -> None:
    """Raises PreflightError if the address names a server and nothing listens there."""
    parts = urlsplit(tracking_uri)
    port = parts.port or DATABASE_PORTS.get(_kind(tracking_uri))
    if parts.scheme == "sqlite" or parts.hostname is None or port is None:
        return
    try:
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_S).close()
    except OSError as error:
        raise PreflightError(
            f"the tracking store {redact(tracking_uri)} cannot be reached: {error}. {_WHAT_TO_DO}"
        ) from error


def check_database_server(tracking_uri: str) -> None:
    """Raises PreflightError if the store is a database server whose driver is missing, or that refuses a connection.

    MLflow itself tries ten times and shows a trace. Any other kind of store passes.
    """
    if not is_database_server(tracking_uri):
        return
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from sqlalchemy.exc import SQLAlchemyError

    shown = redact(tracking_uri)
    try:
        engine = create_sqlalchemy_engine(tracking_uri)
        check_host(tracking_uri)
        with engine.connect():
            engine.dispose()
    except ImportError as error:
        module = error.name or str(error)
        raise PreflightError(
            f"the tracking store {shown} needs the Python module {module}, which is not installed; install it with: "
            f"pip install {_PACKAGES.get(module, module)}, or name an installed driver, as in "
            "postgresql+psycopg2://HOST/NAME."
        ) from error
    except SQLAlchemyError as error:
        raise PreflightError(
            f"the tracking store {shown} cannot be used: {redact(first_line(error))}. {_WHAT_TO_DO}"
        ) from error


def is_database_server(tracking_uri: str) -> bool:
    return _kind(tracking_uri) in DATABASE_PORTS


def _kind(tracking_uri: str) -> str:
    """The scheme without the driver: `postgresql` of `postgresql+psycopg2://…`."""
    return urlsplit(tracking_uri).scheme.partition("+")[0]
