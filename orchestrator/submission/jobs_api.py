"""Client of a cluster's Ray Jobs API over HTTP: each request has a time limit, and each failure one clear error."""

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
from orchestrator.ray_cluster.heads import probe_port
from orchestrator.ray_cluster.tokens import require_tokens, secure_token, token_path, token_place
from orchestrator.submission.ray_job import RayJob
from trainables.errors import AIBError

REQUEST_S = 30.0
_NOISY_LOGGERS = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers that report every upload and connection."""
STUDY, ROOT, SIGNATURE = "aib.study", "aib.root", "aib.signature"
"""Keys of a job's metadata."""


class JobExistsError(AIBError):
    """The job id is taken: another submitter was faster."""


class JobsUnreachableError(AIBError):
    """The cluster answered earlier but does not answer now."""


class _Client(JobSubmissionClient):
    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        """Adds a time limit: Ray's own client waits forever."""
        return super()._do_request(method, endpoint, **{"timeout": REQUEST_S, **options})


class JobsApi:
    """The Jobs API of a cluster that has our Ray version and accepts our token."""

    def __init__(self, client: JobSubmissionClient) -> None:
        self._client = client
        self.url: str = client.get_address()

    def jobs(self) -> list[RayJob]:
        """All jobs that were submitted to the cluster."""
        with _reachable(self.url):
            return [_job(details) for details in self._client.list_jobs() if details.submission_id]

    def job(self, job_id: str) -> RayJob:
        with _reachable(self.url):
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
        """Starts a job on the head node, or on a node with `labels`. Raises JobExistsError if the id is taken."""
        try:
            with _reachable(self.url):
                self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=job_id,
                    runtime_env=dict(runtime_env),
                    metadata=dict(metadata),
                    entrypoint_label_selector=dict(labels or {}),
                )
        except JobsUnreachableError as error:
            if f"{job_id} already exists" in str(error):
                raise JobExistsError(f"the cluster already has a job {job_id}.") from None
            raise

    async def tail(self, job_id: str) -> AsyncIterator[str]:
        """Streams the job's log from its first character until the job ends."""
        try:
            async for text in self._client.tail_job_logs(job_id):
                yield text
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise JobsUnreachableError(f"the log of {job_id} broke off: {error}.") from error

    def log(self, job_id: str) -> str:
        with _reachable(self.url):
            return str(self._client.get_job_logs(job_id))

    def stop(self, job_id: str) -> None:
        with _reachable(self.url):
            self._client.stop_job(job_id)

    def delete(self, job_id: str) -> None:
        """Removes an ended job from the cluster's list."""
        with _reachable(self.url):
            self._client.delete_job(job_id)

    def nodes(self) -> list[tuple[Node, dict[str, str]]]:
        """The live nodes with their labels."""
        with _reachable(self.url):
            # Filtered here: with a filter, Ray counts the excluded nodes as lost and refuses to answer.
            found = list_nodes(address=self.url, detail=True, limit=10_000)
        return [
            (
                Node(node.node_id, node.resources_total.get("CPU", 0.0), node.resources_total.get("GPU", 0.0)),
                dict(node.labels or {}),
            )
            for node in found
            if node.state == "ALIVE"
        ]

    def answers_without_token(self) -> bool:
        """Whether the API answers a request without a token."""
        try:
            urllib.request.urlopen(f"{self.url}/api/jobs/", timeout=REQUEST_S).close()
        except urllib.error.HTTPError as error:
            return error.code not in (401, 403)
        return True


def connect_jobs(address: str) -> JobsApi:
    """Connects to the cluster at `address`: the dashboard's URL, HOST:PORT, or `auto` on one of its nodes.

    Raises PreflightError with the cause: no answer, no token, wrong token, no Jobs API, or another version of Ray.
    """
    require_tokens()
    token = _token(address)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with _without_ray_address():
            client = _Client(_url(address), headers={"Authorization": f"Bearer {token}"})
            client.list_jobs()
    except RayError as error:
        raise PreflightError(
            f"the cluster at {address} rejects our token, which comes from {token_place()} ({first_line(error)}); it "
            "must be the token of the head node."
        ) from None
    except (requests.ConnectionError, requests.Timeout, ConnectionError, TimeoutError) as error:
        raise PreflightError(
            f"no cluster answers at {address} ({first_line(error)}); --address must be the dashboard's URL, "
            "http://HEAD:8265. If the dashboard listens only on the head's loopback, use a tunnel."
        ) from None
    except (requests.RequestException, OSError, RuntimeError, ValueError, KeyError) as error:
        raise PreflightError(
            f"the server at {address} has no Ray Jobs API ({first_line(error)}); --address must be the dashboard's "
            "URL, http://HEAD:8265, of a head node started with ray[default] and --include-dashboard=true."
        ) from None
    _check_version(str(client._server_ray_version), address)
    return JobsApi(client)


def _token(address: str) -> str:
    """The cluster's token, read from the places where Ray looks. Ray's own loader caches it for the whole process."""
    secure_token(create=False)
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    if not token and token_path().is_file():
        token = token_path().read_text(encoding="utf-8").strip()
    if not token:
        raise PreflightError(
            f"there is no token for the cluster at {address}: set RAY_AUTH_TOKEN, set RAY_AUTH_TOKEN_PATH to a file "
            f"with the token, or copy the head node's ~/.ray/auth_token to {token_path()}."
        )
    return token


def _url(address: str) -> str:
    """The dashboard's URL. HOST:PORT may be the dashboard's port, which answers HTTP, or the cluster's own port."""
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


def _check_version(theirs: str, address: str) -> None:
    if theirs.split(".")[:2] != ray.__version__.split(".")[:2]:
        raise PreflightError(
            f"the cluster at {address} runs Ray {theirs}, but this machine has {ray.__version__}; install the same "
            "minor version on both (constraints.txt names it)."
        )


@contextmanager
def _without_ray_address() -> Iterator[None]:
    """Unsets variables that Ray prefers over the address that is passed to it."""
    saved = {name: os.environ.pop(name) for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(saved)


@contextmanager
def _reachable(url: str) -> Iterator[None]:
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
