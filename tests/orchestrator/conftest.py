"""One local Ray cluster for all tests of a process, and a root with an empty record."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.ray_cluster.connection import Cluster, connect


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two CPUs, token authentication with a token of its own, dashboard on loopback."""
    before = os.environ.get("RAY_AUTH_TOKEN_PATH")
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(tmp_path_factory.mktemp("ray") / "auth_token")
    try:
        # A loss must not end the test run.
        with connect("local", num_cpus=2, lost=print) as joined:
            yield joined
    finally:
        if before is None:
            os.environ.pop("RAY_AUTH_TOKEN_PATH")
        else:
            os.environ["RAY_AUTH_TOKEN_PATH"] = before


@pytest.fixture
def root(empty_mlflow_db: Path, tmp_path: Path) -> Path:
    """A root of this test with an empty record; a first search would need seconds to create it."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copyfile(empty_mlflow_db, folder / "mlflow.db")
    return folder
