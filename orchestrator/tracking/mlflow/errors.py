"""Translates MLflow's exceptions: the record is rejected for good, or the store is unavailable for now."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import PreflightError
from orchestrator.process.redact import redact
from orchestrator.tracking.tracker import RecordRejectedError, TrackerUnavailableError

_REFUSED = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "NOT_FOUND"}
_AWAY = {
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "CANCELLED",
    "ABORTED",
    # The record itself is valid: credentials can be renewed, and the 404 of a proxy passes.
    "ENDPOINT_NOT_FOUND",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "CUSTOMER_UNAUTHORIZED",
}


@contextmanager
def translated() -> Iterator[None]:
    """Turns MLflow's exceptions into the tracker's errors. An unclear one, such as HTTP 500, is raised unchanged."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (RecordRejectedError, TrackerUnavailableError):
        raise
    except PreflightError as error:
        raise RecordRejectedError(str(error)) from error
    except MlflowException as error:
        message = redact(str(error))
        if error.error_code in _REFUSED:
            raise RecordRejectedError(message) from error
        # MLflow reports a refused connection and a 503 as INTERNAL_ERROR; the cause is an OSError of `requests`.
        unreachable = isinstance(error.__context__, OSError) and "too many 500 error responses" not in message
        if error.error_code in _AWAY or unreachable:
            raise TrackerUnavailableError(message) from error
        raise
    # An answer that is not JSON comes from a proxy or was cut off; it says nothing about the record.
    except (OSError, OperationalError, json.JSONDecodeError) as error:
        raise TrackerUnavailableError(redact(f"{type(error).__name__}: {error}")) from error
