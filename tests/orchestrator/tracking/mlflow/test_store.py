import re
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.tracking.mlflow.store import advice, mlflow_client, prepare_store, run_page
from trainables.errors import ConfigError


def test_a_run_s_page_opens_on_training_runs_and_holds_no_password() -> None:
    page = run_page("https://ann:hunter2x@mlflow.example.org/", "7", "abc")
    assert page == "https://mlflow.example.org/#/experiments/7/runs/abc?workflowType=machine_learning"
    assert run_page("sqlite:////tmp/mlflow.db", "7", "abc") is None


@pytest.mark.parametrize("using", [prepare_store, mlflow_client])
@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("./mlruns", "plain folders"),
        ("file:///mlruns", "plain folders"),
        ("foo", "plain folders"),
        ("s3://bucket/runs", "no records"),
        ("http://h:99999", "port"),
        ("http://[::1", "host"),
        ("http://", "names no host"),
        ("sqlite://", "names no file"),
    ],
)
def test_what_is_no_address_is_refused_with_what_is_one(using: Callable[[str], Any], uri: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=rf"--tracking-uri .*{re.escape(uri)}.*{fault}.*sqlite:////"):
        using(uri)


@pytest.mark.parametrize(
    ("said", "code", "expected"),
    [
        ("403: Invalid Host header - possible DNS rebinding", "PERMISSION_DENIED", "--allowed-hosts"),
        ("401", "UNAUTHENTICATED", "MLFLOW_TRACKING_PASSWORD"),
        ("403", "PERMISSION_DENIED", "'ann'"),
        ("500", "INTERNAL_ERROR", "server's log"),
    ],
)
def test_advice_fits_the_refusal(said: str, code: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    assert expected in advice("https://mlflow.example.org", MlflowException(said, ErrorCode.Value(code)))
