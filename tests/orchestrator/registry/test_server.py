"""The same registry behind an MLflow server that keeps the artifacts itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.registry.pull import pull
from orchestrator.registry.versions import UnknownModelError, find_version
from orchestrator.tracking.mlflow_store import mlflow_client, prepare_store
from tests.orchestrator.registry.conftest import Registry
from tests.orchestrator.registry.test_publish import NAME, publish_tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def server(empty_mlflow_db: Path, tmp_path: Path) -> Iterator[Registry]:
    shutil.copyfile(empty_mlflow_db, tmp_path / "server.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--workers", "1"),
                *("--artifacts-destination", str(tmp_path / "store")),
            ],
            cwd=tmp_path,
            env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(f"{uri}/health", process, tmp_path / "server.log")
        experiment_id = prepare_store(uri, "tiny")
        yield Registry(uri, mlflow_client(uri).create_run(experiment_id).info.run_id)
    finally:
        # The server's workers are in the group that this test made.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"no server at {url}:\n{log.read_text(errors='replace')[-3000:]}")


def test_a_model_is_published_to_a_server_and_pulled_from_it(server: Registry, exported: Path, tmp_path: Path) -> None:
    for reference in (NAME, f"{NAME}/1"):
        with pytest.raises(UnknownModelError, match="none yet"):
            find_version(server.uri, reference)
    published = publish_tiny(server, exported)
    assert published == publish_tiny(server, exported)
    assert find_version(server.uri, NAME) == published
    with pytest.raises(UnknownModelError, match=NAME):
        find_version(server.uri, f"{NAME}@challenger")
    pulled = pull(server.uri, NAME, tmp_path / "pulled")
    assert (pulled / "model.safetensors").read_bytes() == (exported / "model.safetensors").read_bytes()
