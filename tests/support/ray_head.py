"""A real head node on loopback: token authentication, dashboard, Jobs API, everything of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.free_port import free_ports

START_S = 120
LABEL = "aib.test/driver=here"


@dataclass(frozen=True)
class Head:
    """Where the head is, and how a user beside it reaches it."""

    url: str
    gcs: str
    token_path: Path
    folder: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """A submitter's: no cluster but this one's token, nothing of the tests' own settings."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAY_", "AIB_", "MLFLOW_", "AWS_"))
        }
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_path),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            # Ray would kill workers for the memory that other programs of the machine take.
            "RAY_memory_monitor_refresh_ms": "0",
            **changes,
        }


@contextmanager
def ray_head(num_cpus: int) -> Iterator[Head]:
    """Runs `ray start --head` for the time of the block; its own processes are all that is ended."""
    # Ray's sockets lie in here, and the path of a socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="aib-ray-"))
    token = folder / "token"
    token.write_text("t" * 32)
    token.chmod(0o600)
    ports = free_ports(5)
    head = Head(f"http://127.0.0.1:{ports[1]}", f"127.0.0.1:{ports[0]}", token, folder)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    command += [f"--port={ports[0]}", "--dashboard-host=127.0.0.1", f"--dashboard-port={ports[1]}"]
    command += [f"--dashboard-agent-listen-port={ports[2]}", f"--metrics-export-port={ports[3]}"]
    command += [
        f"--ray-client-server-port={ports[4]}",
        f"--num-cpus={num_cpus}",
        f"--object-store-memory={100 * 2**20}",
    ]
    command += [f"--temp-dir={folder / 'r'}", f"--labels={LABEL}", "--disable-usage-stats"]
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=head.environment(), start_new_session=True)
    try:
        deadline_s = time.monotonic() + START_S
        while not answers(head):
            assert process.poll() is None, (folder / "head.log").read_text()
            assert time.monotonic() < deadline_s, (folder / "head.log").read_text()
            time.sleep(0.5)
        yield head
    finally:
        end(process)
        shutil.rmtree(folder, ignore_errors=True)


def answers(head: Head) -> bool:
    """Whether the Jobs API takes requests, which begins after the dashboard and after the node's agent."""
    request = urllib.request.Request(
        f"{head.url}/api/jobs/", headers={"Authorization": f"Bearer {head.token_path.read_text()}"}
    )
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except (OSError, urllib.error.URLError):
        return False
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and after a while SIGKILL, to the process and what descends from it."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    for member in alive:
        member.kill()
