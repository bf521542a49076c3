"""A Ray cluster of a test's own: a head and further nodes as processes, with their own token, ports and folders."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.free_port import free_port
from tests.support.nodes import OBJECT_STORE_BYTES, kill_family

START_S = 120


class OwnCluster:
    """A running head. Nodes join it and are killed; everything ends with the block of `own_cluster`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.token = secrets.token_hex(16)
        self._folder = folder
        (folder / "token").write_text(self.token)
        (folder / "token").chmod(0o600)
        clean = {name: value for name, value in environment.items() if not name.startswith(("RAY_", "AIB_"))}
        self.environment = {**clean, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
        self._port, self._dashboard = free_port(), free_port()
        self.address = f"127.0.0.1:{self._port}"
        self.dashboard_url = f"http://127.0.0.1:{self._dashboard}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start_head(self, num_cpus: int, **environment: str) -> None:
        options = [f"--port={self._port}", f"--dashboard-port={self._dashboard}", "--dashboard-host=127.0.0.1"]
        # The client's port has a fixed default, on which any other cluster of the machine may sit.
        options += ["--head", f"--ray-client-server-port={free_port()}"]
        self._start("head", num_cpus, options, environment)

    def add_node(self, num_cpus: int, **environment: str) -> subprocess.Popen[bytes]:
        """Returns once it has joined."""
        return self._start(f"node{len(self._processes)}", num_cpus, [f"--address={self.address}"], environment)

    def num_alive(self) -> int:
        """Alive nodes; 0 while the dashboard does not answer yet."""
        request = urllib.request.Request(
            f"{self.dashboard_url}/nodes?view=summary", headers={"Authorization": f"Bearer {self.token}"}
        )
        with suppress(OSError, ValueError, KeyError), urllib.request.urlopen(request, timeout=5) as answer:
            nodes = json.load(answer)["data"]["summary"]
            return sum(node["raylet"].get("state") == "ALIVE" for node in nodes)
        return 0

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                kill_family(process)

    def _start(
        self, name: str, num_cpus: int, options: list[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        before = self.num_alive() if self._processes else 0
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
        command += [f"--num-cpus={num_cpus}", f"--object-store-memory={OBJECT_STORE_BYTES}", *options]
        log = self._folder / f"{name}.log"
        with log.open("wb") as out:
            settings = {**self.environment, **environment}
            process = subprocess.Popen(command, stdout=out, stderr=out, env=settings)
        self._processes.append(process)
        deadline_s = time.monotonic() + START_S
        while self.num_alive() <= before:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.5)
        return process


@contextmanager
def own_cluster(folder: Path) -> Iterator[OwnCluster]:
    cluster = OwnCluster(folder, dict(os.environ))
    try:
        yield cluster
    finally:
        cluster.close()
