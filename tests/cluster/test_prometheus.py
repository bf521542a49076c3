"""The shipped configuration in a real Prometheus: it finds the nodes of a real cluster and the metrics of a driver."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster_files import CLUSTER
from tests.support.free_port import free_port, free_ports
from tests.support.own_cluster import OwnCluster, own_cluster
from tests.support.server_processes import serving
from tests.support.server_searches import write_spec

pytestmark = [pytest.mark.minutes, pytest.mark.ray, pytest.mark.server, pytest.mark.timeout(900)]

CONFIG = CLUSTER / "prometheus" / "prometheus.yml"
SCRAPES_S = 120
"""Longer than the interval of the configuration's refresh and two of its scrapes."""


def configure(cluster: OwnCluster, token: Path, path: Path) -> None:
    """Changes the two lines that a user changes, and nothing else."""
    given = CONFIG.read_text()
    text = given.replace("http://head:8265/", f"{cluster.dashboard_url}/").replace("/run/secrets/ray_token", str(token))
    changed = [line for line, before in zip(text.splitlines(), given.splitlines(), strict=True) if line != before]
    assert len(changed) == 2, changed
    path.write_text(text)


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).close()
        except OSError:
            return False
        return True

    def data(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def targets(self) -> dict[str, str]:
        """The health of each target, by its address."""
        return {one["labels"]["instance"]: one["health"] for one in self.data("targets")["activeTargets"]}

    def values(self, metric: str) -> list[float]:
        """The highest value of the last ten minutes, of each series of a metric."""
        return [float(one["value"][1]) for one in self.data("query", query=f"max_over_time({metric}[10m])")["result"]]

    def until_two_nodes_are_up(self) -> None:
        deadline_s = time.monotonic() + SCRAPES_S
        while not self.values("ray_node_mem_total")[1:]:
            assert time.monotonic() < deadline_s, self.targets()
            time.sleep(1)


def test_the_shipped_configuration_scrapes_head_node_and_driver(tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian package prometheus)")
    config, port = tmp_path / "prometheus.yml", free_port()
    server = [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    server += [f"--web.listen-address=127.0.0.1:{port}"]
    prometheus = Prometheus(port)
    (tmp_path / "cluster").mkdir()
    with own_cluster(tmp_path / "cluster") as cluster:
        # Ports of the head's own metrics; their defaults are fixed, and another Ray of this machine may have them.
        dashboard, autoscaler = (str(one) for one in free_ports(2))
        cluster.start_head(num_cpus=1, DASHBOARD_METRIC_PORT=dashboard, AUTOSCALER_METRIC_PORT=autoscaler)
        cluster.add_node(num_cpus=1)
        configure(cluster, tmp_path / "cluster" / "token", config)
        with serving(server, tmp_path / "log", prometheus.ready, env=os.environ, cwd=tmp_path):
            prometheus.until_two_nodes_are_up()
            search = [sys.executable, "-m", "orchestrator", "search", str(write_spec(tmp_path, "scraped"))]
            search += ["--root", str(tmp_path / "runs"), "--address", cluster.address]
            done = subprocess.run(search, env=cluster.environment, capture_output=True, timeout=400, check=False)
            assert done.returncode == 0, done.stderr.decode()
            found = prometheus.targets()
            # Two nodes, and on the head the dashboard and the autoscaler.
            assert len(found) >= 3
            assert set(found.values()) == {"up"}, found
            assert prometheus.values('ray_aib_trials{study="scraped"}'), "the driver's metrics"
            # The head's own metric has one series for each kind of node.
            assert sum(prometheus.values("ray_cluster_active_nodes")) == 2
