"""Where every node's metrics are read."""

import urllib.request

import ray

from orchestrator.errors import PreflightError

ANSWER_S = 10.0


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


def _get(url: str) -> str:
    # Inside a cluster no proxy stands between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=ANSWER_S) as answer:
        text: str = answer.read().decode("utf-8", "replace")
    return text
