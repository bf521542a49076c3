"""A second Ray node on this machine: its own raylet, which joins the tests' cluster and can be killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.heads import as_given

JOIN_S = 60
OBJECT_STORE_BYTES = 100 * 1024**2


class JoinedNode:
    """A node that has joined."""

    def __init__(self, process: subprocess.Popen[bytes], node_id: str) -> None:
        self._process, self.node_id = process, node_id

    def kill(self) -> None:
        """SIGKILL to the node and all its processes, as when a machine loses power."""
        kill_family(self._process)


@contextmanager
def second_node(
    cluster: Cluster, num_cpus: int, log: Path, hiding: Path | None = None, **environment: str
) -> Iterator[JoinedNode]:
    """Joins the cluster for the time of the block; on this node an empty folder hides the folder `hiding`."""
    before = _alive()
    command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hiding)] if hiding else []
    command += [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--block",
        f"--address={as_given(cluster.address)}",
    ]
    command += [f"--num-cpus={num_cpus}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, "RAY_AUTH_MODE": "token", **environment}
        )
        try:
            deadline_s = time.monotonic() + JOIN_S
            while not (joined := _alive() - before):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s, log.read_text()
                time.sleep(0.2)
            node = JoinedNode(process, joined.pop())
            yield node
        finally:
            if process.poll() is None:
                node.kill()


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and all its descendants."""
    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    for member in family:
        # Stopped first: a parent that sees a child die would start to clean up.
        _signal(member, signal.SIGSTOP)
    for member in family:
        _signal(member, signal.SIGKILL)
    process.wait()


def can_hide_folders() -> bool:
    """Whether a node can get its own file system, which needs root rights and util-linux."""
    return os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def _alive() -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
