"""What a job gets to know of its submitter's environment: where to keep and record things, and how to be let in."""

from collections.abc import Mapping

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
STOP_WAIT_S = "600"
"""Ray would kill a stopped job after 3 s; epochs in progress take longer to end."""

FORWARDED = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    STOP_WAIT,
)


def job_environment(ours: Mapping[str, str], root: str | None, tracking_uri: str | None) -> dict[str, str]:
    """The job's environment variables; what the submitter has not set, the cluster's own environment decides.

    They are values to be handed over, never to be shown: credentials are among them.
    """
    chosen = {STOP_WAIT: STOP_WAIT_S, **{name: ours[name] for name in FORWARDED if ours.get(name)}}
    if root is not None:
        chosen["AIB_ROOT"] = root
    if tracking_uri is not None:
        chosen["MLFLOW_TRACKING_URI"] = tracking_uri
    return chosen
