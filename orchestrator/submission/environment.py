"""Chooses the environment variables of a Ray job: settings of the submitter, without credentials by default.

Ray writes the environment of every job to the cluster's logs and shows it to everyone who has the cluster's token.
Therefore the cluster's own environment should hold the credentials; those of the submitter are sent only on request.
"""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.process.redact import without_userinfo

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
STOP_WAIT_S = "600"
"""By default Ray kills a stopped job after 3 s; trials need longer to save their state."""

SETTINGS = (
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    STOP_WAIT,
)
CREDENTIALS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


class JobEnvironment(NamedTuple):
    variables: dict[str, str]
    """Variables of the job; unset ones fall back to the cluster's environment."""
    withheld: tuple[str, ...]
    """Names of the submitter's variables with credentials that `variables` does not send."""


def job_environment(
    local: Mapping[str, str], options: Mapping[str, str | None], send_credentials: bool
) -> JobEnvironment:
    """`local` is the submitter's environment; `options` are variables set by the command line, None where unset."""
    settings = {STOP_WAIT: STOP_WAIT_S, **{name: local[name] for name in SETTINGS if local.get(name)}}
    settings |= {name: value for name, value in options.items() if value is not None}
    credentials = {name: local[name] for name in CREDENTIALS if local.get(name)}
    if send_credentials:
        return JobEnvironment(settings | credentials, ())
    # A URL may contain a user name and a password.
    plain = {name: without_userinfo(value) for name, value in settings.items()}
    return JobEnvironment(plain, (*credentials, *(name for name in settings if plain[name] != settings[name])))
