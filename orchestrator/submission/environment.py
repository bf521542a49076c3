"""What a job gets to know of its submitter's environment: where to keep and record things, and no secret unasked.

Ray writes the environment of every job to the cluster's logs and shows it to whoever holds the cluster's token. So
the cluster's own environment has the credentials, and those of the submitter travel only where they are told to.
"""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.process.redact import without_userinfo

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
STOP_WAIT_S = "600"
"""Ray would kill a stopped job after 3 s; epochs in progress take longer to end."""

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
    """The job's; what is not among them, the cluster's own environment decides."""
    kept: tuple[str, ...]
    """Names of variables that are set here and hold credentials, which were left out of `variables`."""


def job_environment(ours: Mapping[str, str], given: Mapping[str, str | None], send_credentials: bool) -> JobEnvironment:
    """From the submitter's environment and what the command line said, by the names of the variables that say it."""
    asked = {STOP_WAIT: STOP_WAIT_S, **{name: ours[name] for name in SETTINGS if ours.get(name)}}
    asked |= {name: value for name, value in given.items() if value is not None}
    credentials = {name: ours[name] for name in CREDENTIALS if ours.get(name)}
    if send_credentials:
        return JobEnvironment(asked | credentials, ())
    # An address may bring a name and a password along.
    plain = {name: without_userinfo(value) for name, value in asked.items()}
    return JobEnvironment(plain, (*credentials, *(name for name in asked if plain[name] != asked[name])))
