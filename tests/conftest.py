"""What the whole run shares: the embedded data set, composed once, and an empty MLflow database."""

from pathlib import Path

import pytest

from trainables.data.prepare import prepare


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
