"""One MLflow database with its schema per test session (it takes 7-8 s to make), a copy of it per test."""

import shutil
from pathlib import Path

import pytest

from orchestrator.tracking.mlflow_store import local_tracking_uri, prepare_store


@pytest.fixture(scope="session")
def empty_mlflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mlflow-template")
    prepare_store(local_tracking_uri(root))
    return root / "mlflow.db"


@pytest.fixture
def store_uri(empty_mlflow_db: Path, tmp_path: Path) -> str:
    """A local store of this test alone, under `tmp_path`."""
    shutil.copyfile(empty_mlflow_db, tmp_path / "mlflow.db")
    return local_tracking_uri(tmp_path)
