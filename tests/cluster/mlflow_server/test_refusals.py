"""A search or a pull without permission prints one sentence, exits with 3, and starts nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.registry.permission import check_may_register
from orchestrator.tracking.mlflow.store import prepare_store
from tests.support.free_port import free_port
from tests.support.mlflow_deployment import Account, Deployment
from tests.support.server_searches import run, write_spec

pytestmark = [pytest.mark.slow]

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Runs a command that must be refused; returns its message."""

    def refuse(uri: str, account: Account | None, *arguments: str) -> str:
        done = run(uri, account, tmp_path, *arguments, cwd=tmp_path, timeout_s=120)
        assert done.returncode == 3, done.stderr
        assert done.stdout == ""
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        assert account is None or account.password not in done.stderr
        return lines[0]

    return refuse


def test_a_wrong_password(deployment: Deployment, ann: Account, refused: Refused, tmp_path: Path) -> None:
    spec = str(write_spec(tmp_path, "wrong-password"))
    for arguments in (("search", spec), ("pull", "aib-x", "model"), ("models",)):
        assert "MLFLOW_TRACKING_PASSWORD" in refused(deployment.uri, Account("ann", "not-her-password"), *arguments)
    assert "MLFLOW_TRACKING_PASSWORD" in refused(deployment.uri, None, "search", spec)
    assert not (tmp_path / "runs" / "studies").exists()


def test_an_experiment_of_somebody_elses(
    deployment: Deployment, ann: Account, bob: Account, refused: Refused, tmp_path: Path
) -> None:
    deployment.call("experiments/create", {"name": "admins-own"})
    said = refused(deployment.uri, bob, "search", str(write_spec(tmp_path, "admins-own")))
    assert "'bob'" in said
    assert "--name" in said


def test_a_registered_model_of_somebody_elses(
    deployment: Deployment, bob: Account, refused: Refused, tmp_path: Path
) -> None:
    deployment.call("registered-models/create", {"name": "admins-model"})
    spec = str(write_spec(tmp_path, "bobs", model="admins-model"))
    said = refused(deployment.uri, bob, "search", spec)
    assert "'admins-model'" in said
    assert "registered_model" in said


def test_the_permission_edit_opens_both(deployment: Deployment, bob: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in bob.environment.items():
        monkeypatch.setenv(name, value)
    made = deployment.call("experiments/create", {"name": "lent"})
    deployment.call("registered-models/create", {"name": "lent-model"})
    asked = (lambda: prepare_store(deployment.uri, "lent"), lambda: check_may_register(deployment.uri, "lent-model"))
    for ask in asked:
        with pytest.raises(PreflightError, match="permission"):
            ask()
    for kind, which in (("experiment", made["experiment_id"]), ("registered_model", "lent-model")):
        grant = {"username": "bob", "resource_type": kind, "resource_id": which, "permission": "EDIT"}
        deployment.call("users/permissions/grant", grant, "3.0")
    for ask in asked:
        ask()


def test_an_unknown_model(deployment: Deployment, bob: Account, refused: Refused) -> None:
    assert "no registered model 'nobodys'" in refused(deployment.uri, bob, "pull", "nobodys", "model")


def test_a_host_name_that_is_not_allowed(
    deployment: Deployment, ann: Account, refused: Refused, tmp_path: Path
) -> None:
    by_another_name = f"http://localhost:{deployment.port}"
    for arguments in (("search", str(write_spec(tmp_path, "host"))), ("pull", "aib-x", "model")):
        assert "--allowed-hosts" in refused(by_another_name, ann, *arguments)


def test_a_server_that_is_down(ann: Account, refused: Refused, tmp_path: Path) -> None:
    for arguments in (("search", str(write_spec(tmp_path, "down"))), ("pull", "aib-x", "model")):
        assert "--tracking-uri" in refused(f"http://127.0.0.1:{free_port()}", ann, *arguments)
