"""Connecting: tokens, the dashboard, clear refusals."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.errors import PreflightError
from orchestrator.slots import cluster as ours
from orchestrator.slots.cluster import Cluster, connect, nodes, secure_token, token_path


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "ray" / "auth_token"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    return token_path()


def test_new_token_is_readable_by_its_owner_alone(token_file: Path) -> None:
    secure_token(create=True)
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert len(token_file.read_text()) >= 32


def test_existing_token_is_kept_and_closed_to_others(token_file: Path) -> None:
    token_file.parent.mkdir()
    token_file.write_text("known")
    token_file.chmod(0o644)
    secure_token(create=False)
    assert token_file.read_text() == "known"
    assert token_file.stat().st_mode & 0o777 == 0o600


def test_joining_a_cluster_makes_up_no_token(token_file: Path) -> None:
    secure_token(create=False)
    assert not token_file.exists()


@pytest.mark.ray
def test_local_cluster_shows_its_nodes_and_keeps_its_dashboard_on_loopback(cluster: Cluster) -> None:
    (node,) = nodes()
    assert (node.cpus, node.gpus) == (2.0, 0.0)
    assert cluster.dashboard_url.startswith("127.0.0.1:")


@pytest.mark.ray
def test_job_without_a_token_is_refused(cluster: Cluster) -> None:
    request = urllib.request.Request(
        f"http://{cluster.dashboard_url}/api/jobs/",
        data=b'{"entrypoint": "true"}',
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code in (401, 403)


@pytest.mark.ray
def test_cluster_without_a_dashboard_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answer(**_: Any) -> Iterator[Any]:
        raise ours.RayStateApiException("Failed to make request to dashboard")

    monkeypatch.setattr(ours, "list_nodes", no_answer)
    with pytest.raises(PreflightError, match=r"no dashboard.*--include-dashboard=true"):
        ours._check_dashboard("10.0.0.1:6379")
    assert ray.is_initialized()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_unreachable_cluster_is_one_clear_error(address: str) -> None:
    with pytest.raises(PreflightError, match="no Ray cluster answers"), connect(address):
        pass
