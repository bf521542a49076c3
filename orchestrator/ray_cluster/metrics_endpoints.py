"""Reads the metrics endpoint of every node."""

import urllib.request

import ray

from orchestrator.errors import PreflightError

ANSWER_S = 10.0


def metrics_endpoints() -> list[str]:
    """The URLs of all nodes' metrics, after one read of each.

    Raises PreflightError if one of them does not answer, or answers without Ray's metrics.
    """
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
                f"no metrics at {url} ({error}); open the port to Prometheus, or choose another with "
                "`ray start --metrics-export-port`. A search runs without them."
            ) from error
        if "ray_" not in text:
            raise PreflightError(
                f"{url} answers without Ray's metrics: another program uses that port. Choose another port with "
                "`ray start --metrics-export-port`."
            )
    return urls


def _get(url: str) -> str:
    # Nodes of one cluster reach each other without a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=ANSWER_S) as answer:
        text: str = answer.read().decode("utf-8", "replace")
    return text
