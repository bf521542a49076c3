"""Storage that a node or the driver cannot use: one error that says where and what to do, before anything starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.checks.storage import NODE_S, _node_faults, check_storage
from orchestrator.checks.storage_probe import FolderMarks, NeededData
from orchestrator.errors import EXIT_PREFLIGHT, PreflightError
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.local_cluster import LOOPBACK_SWITCH
from orchestrator.ray_cluster.node_tasks import ATTEMPTS
from orchestrator.study.checkpoint_storage import TrialStorage
from tests.orchestrator.workflow.test_search_end_to_end import SPEC
from tests.support.nodes import can_hide_folders, second_node
from tests.support.s3_server import S3, environment, s3_server
from trainables.checkpoints import bucket
from trainables.checkpoints.bucket import Bucket

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def s3(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """The cluster runs already, so that its node has no credentials; the driver has the writer's."""
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture(autouse=True)
def _new_connections() -> Iterator[None]:
    bucket._server.cache_clear()
    yield
    bucket._server.cache_clear()


def in_bucket(root: Path, uri: str) -> TrialStorage:
    return TrialStorage(root, Bucket.from_uri(uri), "tiny")


def test_a_folder_that_all_share_passes_and_is_left_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    check_storage(TrialStorage(tmp_path / "runs/studies/tiny/trials"), tmp_path / "runs", ())
    assert list((tmp_path / "runs").iterdir()) == []


def test_data_that_a_node_does_not_find_is_named(cluster: Cluster, tmp_path: Path) -> None:
    needed = NeededData(tmp_path / "data", "cifar10", 32, "digest")
    with pytest.raises(PreflightError, match="holds no cifar10 at 32 px there"):
        check_storage(TrialStorage(tmp_path), tmp_path, [needed])


@dataclass(frozen=True)
class Deadly(FolderMarks):
    """Kills the first processes that read from it."""

    deaths: int = 0

    def read(self, name: str) -> str:
        died = len(list(self.folder.glob("died*")))
        if died < self.deaths:
            (self.folder / f"died{died}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(name)


def test_a_node_whose_worker_dies_of_the_check_is_asked_again_and_not_for_ever(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "shared").write_text("shared")
    assert _node_faults(Deadly(tmp_path, ATTEMPTS - 1), "shared", (), NODE_S) == []
    ((_, fault),) = _node_faults(Deadly(tmp_path, 2 * ATTEMPTS), "shared", (), NODE_S)
    assert fault.startswith("the check did not run there")


def test_a_node_that_is_lost_meanwhile_is_not_missed(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("shared")
    with second_node(cluster, 1, tmp_path / "log") as node:
        node.kill()
        assert _node_faults(FolderMarks(tmp_path), "shared", (), NODE_S) == []


@pytest.mark.skipif(not can_hide_folders(), reason="hiding a folder from a node needs root and unshare (util-linux)")
def test_a_search_whose_folder_one_node_does_not_see_is_refused_before_it_starts(
    cluster: Cluster, tmp_path: Path
) -> None:
    root, spec = tmp_path / "runs", tmp_path / "tiny.yaml"
    root.mkdir()
    spec.write_text(SPEC)
    with second_node(cluster, 1, tmp_path / "log", hiding=root):
        where = ["--root", str(root), "--address", cluster.address]
        refused = subprocess.run(
            [sys.executable, "-m", "orchestrator", "search", str(spec), *where],
            capture_output=True,
            text=True,
            # The fixture's cluster is on loopback.
            env={**os.environ, "RAY_AUTH_MODE": "token", LOOPBACK_SWITCH: "0"},
            timeout=200,
            check=False,
        )
    assert refused.returncode == EXIT_PREFLIGHT, refused.stderr
    assert "cannot be used from every node" in refused.stderr
    assert refused.stderr.count("its storage fails") == 1, "the other node is not at fault"
    assert "mount it on every node at the same path" in refused.stderr
    assert not (root / "studies").exists()
    assert not list(root.glob(".storage-check*"))


def test_a_bucket_that_may_only_be_read_is_refused_from_the_driver(s3: S3, tmp_path: Path) -> None:
    with environment(**s3.reader), pytest.raises(PreflightError, match="ACCESS_DENIED") as refused:
        check_storage(in_bucket(tmp_path, s3.uri), tmp_path, ())
    assert "from the driver" in str(refused.value)
    assert "with rights to write" in str(refused.value)


def test_wrong_credentials_are_refused_and_never_repeated(s3: S3, tmp_path: Path) -> None:
    wrong = {**s3.writer, "AWS_SECRET_ACCESS_KEY": "canary-secret"}
    with environment(**wrong), pytest.raises(PreflightError, match="SIGNATURE_DOES_NOT_MATCH") as refused:
        check_storage(in_bucket(tmp_path, s3.uri), tmp_path, ())
    assert "canary-secret" not in str(refused.value)
    assert s3.writer["AWS_ACCESS_KEY_ID"] not in str(refused.value)


def test_a_bucket_that_does_not_exist_is_refused(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="s3://nowhere/runs"):
        check_storage(in_bucket(tmp_path, s3.uri.replace("aib/runs", "nowhere/runs")), tmp_path, ())


def test_a_server_that_does_not_answer_is_refused(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="from the driver"):
        check_storage(in_bucket(tmp_path, "s3://aib/runs?endpoint_override=127.0.0.1:9&scheme=http"), tmp_path, ())


def test_a_node_without_credentials_is_named(cluster: Cluster, s3: S3, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="cannot be used from every node") as refused:
        check_storage(in_bucket(tmp_path, s3.uri), tmp_path, ())
    assert "AWS_ACCESS_KEY_ID" in str(refused.value)
    left = Bucket.from_uri(s3.uri).list("")
    assert left == [], "the driver's mark is removed"
