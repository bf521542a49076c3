"""The cluster's HTTP endpoints: the Jobs API of the dashboard, and every node's metrics."""

import os
import urllib.error
import urllib.request

import ray

from orchestrator.errors import PreflightError
from orchestrator.slots.cluster import Cluster, token_path

ANSWER_S = 10.0


def jobs_api(cluster: Cluster) -> str:
    """The URL at which the Jobs API answers to our token; PreflightError where it does not."""
    url = f"http://{cluster.dashboard_url}"
    token = os.environ.get("RAY_AUTH_TOKEN") or token_path().read_text(encoding="utf-8").strip()
    try:
        _get(f"{url}/api/jobs/", token)
    except OSError as error:
        raise PreflightError(
            f"the Jobs API at {url} does not answer ({error}); install ray[default] on the head, start it with "
            "`ray start --head --include-dashboard=true`, and use the head's own token."
        ) from error
    return url


def metrics_endpoints() -> list[str]:
    """The URLs at which Ray's metrics of every node were read; PreflightError where one of them does not answer."""
    urls = [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in ray.nodes()
        if node["Alive"]
    ]
    for url in urls:
        try:
            text = _get(url)
        except OSError as error:
            raise PreflightError(
                f"no metrics at {url} ({error}); open the port to Prometheus, or choose it with "
                "`ray start --metrics-export-port`. A search runs without them."
            ) from error
        if "ray_" not in text:
            raise PreflightError(f"{url} answers without Ray's metrics; another program has that port.")
    return urls


def _get(url: str, token: str | None = None) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    # Inside a cluster no proxy stands between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=ANSWER_S) as answer:
        text: str = answer.read().decode("utf-8", "replace")
    return text
