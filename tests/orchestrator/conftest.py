"""One local Ray cluster for all tests that need one."""

import os
from collections.abc import Iterator

import pytest

from orchestrator.slots.cluster import Cluster, connect


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two CPUs, token authentication with a token of its own, dashboard on loopback."""
    before = os.environ.get("RAY_AUTH_TOKEN_PATH")
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(tmp_path_factory.mktemp("ray") / "auth_token")
    try:
        with connect("local", num_cpus=2) as joined:
            yield joined
    finally:
        if before is None:
            os.environ.pop("RAY_AUTH_TOKEN_PATH")
        else:
            os.environ["RAY_AUTH_TOKEN_PATH"] = before
