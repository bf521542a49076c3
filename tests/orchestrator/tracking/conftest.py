"""One MLflow database per test."""

import shutil
from pathlib import Path

import pytest

from orchestrator.tracking.mlflow.store import local_tracking_uri


@pytest.fixture
def store_uri(empty_mlflow_db: Path, tmp_path: Path) -> str:
    """A local store under `tmp_path`, for this test only."""
    shutil.copyfile(empty_mlflow_db, tmp_path / "mlflow.db")
    return local_tracking_uri(tmp_path)
