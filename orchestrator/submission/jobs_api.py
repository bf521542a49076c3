"""A cluster's Jobs API over HTTP: the few requests made of it, with a time limit each, and one clear error each."""

import logging
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import ray
import requests
from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from orchestrator.errors import PreflightError, first_line
from orchestrator.planning.capacity import Node
from orchestrator.ray_cluster.connection import probe_port
from orchestrator.ray_cluster.tokens import require_tokens, secure_token, token_path, token_place
from orchestrator.submission.ray_job import RayJob
from trainables.errors import AIBError

REQUEST_S = 30.0
NOTICES = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers that tell of every upload and connection."""
STUDY, ROOT, SIGNATURE = "aib.study", "aib.root", "aib.signature"


class JobExistsError(AIBError):
    """Another submitter was first with this id."""


class JobsUnreachableError(AIBError):
    """The cluster answered before and does not now."""


class _Client(JobSubmissionClient):
    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        """As Ray's, which would wait for ever."""
        return super()._do_request(method, endpoint, **{"timeout": REQUEST_S, **options})


class JobsApi:
    """The Jobs API at a URL that has answered, in our version, to our token."""

    def __init__(self, client: JobSubmissionClient) -> None:
        self._client = client
        self.url: str = client.get_address()

    def jobs(self) -> list[RayJob]:
        """Every job that was submitted to the cluster."""
        with _answering(self.url):
            return [_job(details) for details in self._client.list_jobs() if details.submission_id]

    def job(self, job_id: str) -> RayJob:
        with _answering(self.url):
            return _job(self._client.get_job_info(job_id))

    def submit(
        self,
        job_id: str,
        entrypoint: str,
        *,
        runtime_env: Mapping[str, Any],
        metadata: Mapping[str, str],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Starts a job, on the head node unless labels say where. Raises JobExistsError for an id that is taken."""
        try:
            with _answering(self.url):
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=job_id,
                    runtime_env=dict(runtime_env),
                    metadata=dict(metadata),
                    entrypoint_label_selector=dict(labels or {}),
                )
        except JobsUnreachableError as error:
            if f"{job_id} already exists" in str(error):
                raise JobExistsError(f"the cluster has a job {job_id} already.") from None
            raise

    async def tail(self, job_id: str) -> AsyncIterator[str]:
        """The job's log from its first character on, as it is written; ends with the job."""
        try:
            async for text in self._client.tail_job_logs(job_id):
                yield text
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise JobsUnreachableError(f"the log of {job_id} broke off: {error}.") from error

    def log(self, job_id: str) -> str:
        with _answering(self.url):
            return str(self._client.get_job_logs(job_id))

    def stop(self, job_id: str) -> None:
        with _answering(self.url):
            self._client.stop_job(job_id)

    def forget(self, job_id: str) -> None:
        """Removes an ended job from the cluster's list."""
        with _answering(self.url):
            self._client.delete_job(job_id)

    def nodes(self) -> list[tuple[Node, dict[str, str]]]:
        """The alive nodes and their labels."""
        with _answering(self.url):
            # Not filtered there: Ray takes nodes that the filter left out for lost ones, and refuses to answer.
            found = list_nodes(address=self.url, detail=True, limit=10_000)
        return [
            (
                Node(node.node_id, node.resources_total.get("CPU", 0.0), node.resources_total.get("GPU", 0.0)),
                dict(node.labels or {}),
            )
            for node in found
            if node.state == "ALIVE"
        ]

    def takes_strangers(self) -> bool:
        """Whether the API answers a request without a token."""
        try:
            urllib.request.urlopen(f"{self.url}/api/jobs/", timeout=REQUEST_S).close()
        except urllib.error.HTTPError as refused:
            return refused.code not in (401, 403)
        return True


def connect_jobs(address: str) -> JobsApi:
    """The Jobs API of the cluster at `address`: its dashboard's URL, or HOST:PORT, or `auto` on one of its nodes.

    Raises PreflightError, one for each cause: nobody answers, no token or a wrong one, no Jobs API, another version.
    """
    require_tokens()
    token = _token(address)
    for name in NOTICES:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with _own_address():
            client = _Client(_url(address), headers={"Authorization": f"Bearer {token}"})
            client.list_jobs()
    except RayError as error:
        raise PreflightError(
            f"the cluster at {address} does not take our token, that of {token_place()} ({first_line(error)}); it has "
            "to be the head node's."
        ) from None
    except (requests.ConnectionError, requests.Timeout, ConnectionError, TimeoutError) as error:
        raise PreflightError(
            f"no cluster answers at {address} ({first_line(error)}); --address is the dashboard's URL, "
            "http://HEAD:8265, through a tunnel where it listens on the head's loopback only."
        ) from None
    except (requests.RequestException, OSError, RuntimeError, ValueError, KeyError) as error:
        raise PreflightError(
            f"what answers at {address} has no Ray Jobs API ({first_line(error)}); --address is the dashboard's URL, "
            "http://HEAD:8265, of a head started with ray[default] and --include-dashboard=true."
        ) from None
    _same_version(str(client._server_ray_version), address)
    return JobsApi(client)


def _token(address: str) -> str:
    """The cluster's token, from where Ray looks for it. Ray's own loader would keep it for the process's lifetime."""
    secure_token(create=False)
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    if not token and token_path().is_file():
        token = token_path().read_text(encoding="utf-8").strip()
    if not token:
        raise PreflightError(
            f"there is no token for the cluster at {address}: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file "
            f"that holds it, or copy the head node's ~/.ray/auth_token to {token_path()}."
        )
    return token


def _url(address: str) -> str:
    """The dashboard's URL. HOST:PORT may be the dashboard or the cluster's own port: the former speaks HTTP."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.hostname and address != "auto":
        probe_port(f"{parts.hostname}:{parts.port or {'https': 443}.get(parts.scheme, 80)}")
    if "://" in address or address == "auto":
        return address
    try:
        requests.get(f"http://{address}/api/version", timeout=REQUEST_S)
    except requests.RequestException:
        return address
    return f"http://{address}"


def _same_version(theirs: str, address: str) -> None:
    if theirs.split(".")[:2] != ray.__version__.split(".")[:2]:
        raise PreflightError(
            f"the cluster at {address} runs Ray {theirs}, this machine has {ray.__version__}; install the same minor "
            "version on both (constraints.txt names it)."
        )


@contextmanager
def _own_address() -> Iterator[None]:
    """Ray lets these variables overrule the address it is given; ours has been chosen already."""
    kept = {name: os.environ.pop(name) for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _answering(url: str) -> Iterator[None]:
    try:
        yield
    except (RayError, RayStateApiException, OSError, RuntimeError, ValueError) as error:
        raise JobsUnreachableError(f"the Jobs API at {url} failed: {error}") from error


def _job(details: Any) -> RayJob:
    metadata = details.metadata or {}
    return RayJob(
        id=details.submission_id,
        status=str(getattr(details.status, "value", details.status)),
        study=metadata.get(STUDY),
        root=metadata.get(ROOT) or None,
        signature=metadata.get(SIGNATURE),
        message=details.message or "",
        exit_code=details.driver_exit_code,
        started_s=None if details.start_time is None else details.start_time / 1000,
        ended_s=None if details.end_time is None else details.end_time / 1000,
    )
