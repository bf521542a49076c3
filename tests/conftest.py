"""What the whole run shares: a guard against hangs, the embedded data set, and an empty MLflow database."""

import os
from pathlib import Path

import pytest

from tests.support.hang_guard import HangGuard
from trainables.data.prepare import prepare


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(HangGuard(os.dup(2)), "hang-guard")


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with cluttered-digits at 16 px."""
    root = tmp_path_factory.mktemp("data")
    prepare("cluttered-digits", root, 16)
    return root


@pytest.fixture(scope="session")
def empty_mlflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local store without anything in it; its schema takes seven seconds to make. For tests to copy."""
    from orchestrator.tracking.mlflow.store import local_tracking_uri, prepare_store

    root = tmp_path_factory.mktemp("mlflow-template")
    prepare_store(local_tracking_uri(root))
    return root / "mlflow.db"
