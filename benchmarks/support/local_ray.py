"""The Ray cluster of a benchmark: the connected cluster if there is one, otherwise a new one on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import ray

from orchestrator.ray_cluster.connection import connect
from orchestrator.ray_cluster.heads import as_given

JOIN_S = 120.0
OBJECT_STORE_BYTES = 100 * 1024**2


@contextmanager
def cluster(num_cpus: int) -> Iterator[None]:
    """Ray with a number of CPUs in its own count; the machine may have fewer."""
    if ray.is_initialized():
        yield
        return
    with connect("local", num_cpus=num_cpus):
        yield


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process during the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def joined_node(num_cpus: int, log: Path) -> Iterator[None]:
    """A second node during the block: another raylet on this machine that joins the cluster."""
    before = _alive()
    address = ray.get_runtime_context().gcs_address
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--address={as_given(address)}"]
    command += [f"--num-cpus={num_cpus}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "RAY_AUTH_MODE": "token"})
    try:
        deadline_s = time.monotonic() + JOIN_S
        while not _alive() - before:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the second node did not join:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        _end(process)


def _alive() -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the node and its processes, by their ids."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        return
    process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=20)
    for member in left:
        member.kill()
    process.wait()
