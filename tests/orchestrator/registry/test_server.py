"""The registry behind an MLflow server that stores the artifacts itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.registry.pull import pull
from orchestrator.registry.versions import UnknownModelError, find_version
from orchestrator.tracking.mlflow.store import mlflow_client, prepare_store
from tests.orchestrator.registry.conftest import Registry
from tests.orchestrator.registry.test_publish import NAME, publish_tiny
from tests.support.free_port import free_port
from tests.support.mlflow_server import mlflow_server

pytestmark = pytest.mark.slow


@pytest.fixture
def server(empty_mlflow_db: Path, tmp_path: Path) -> Iterator[Registry]:
    root, port = tmp_path / "server", free_port()
    root.mkdir()
    shutil.copyfile(empty_mlflow_db, root / "mlflow.db")
    uri = f"http://127.0.0.1:{port}"
    with mlflow_server(port, root):
        experiment_id = prepare_store(uri, "tiny")
        yield Registry(uri, mlflow_client(uri).create_run(experiment_id).info.run_id)


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
