"""Connecting to a cluster: its tokens, its dashboard, and the messages of refusals."""

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.ray_cluster.connection import Cluster, connect
from orchestrator.ray_cluster.heads import as_given
from orchestrator.ray_cluster.neutral_folder import neutral_folder
from orchestrator.ray_cluster.nodes import nodes
from orchestrator.ray_cluster.tokens import secure_token, token_path
from tests.support.repository import ROOT
from trainables.errors import ConfigError


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


def test_a_home_that_cannot_be_written_says_where_the_token_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for home in ("/proc/nothing", "/dev/null"):
        monkeypatch.setenv("HOME", home)
        with pytest.raises(PreflightError, match=rf"{home}/\.ray/auth_token, cannot be .*RAY_AUTH_TOKEN_PATH"):
            secure_token(create=True)


def test_ray_starts_where_no_module_of_the_user_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts the driver's working directory first on the path of every worker."""
    (tmp_path / "random.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIB_CACHE", "cache")
    with neutral_folder():
        assert Path.cwd() == ROOT
        assert os.environ["AIB_CACHE"] == str(tmp_path / "cache"), "a relative path keeps its meaning"
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    "address", ["10.255.255.1", "head", "head:", "head:x", "head:99999", "ftp://head:6379", ":6379"]
)
def test_an_address_that_is_none_is_refused_before_ray_is_asked(address: str) -> None:
    with pytest.raises(ConfigError, match=r"HOST:PORT.*auto"), connect(address):
        pass


@pytest.mark.minutes
def test_a_port_that_is_not_rays_is_no_cluster(token_file: Path) -> None:
    secure_token(create=True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=_refuse_to_talk, args=(other,), daemon=True).start()
        with (
            pytest.raises(PreflightError, match="no Ray cluster answers"),
            connect(f"127.0.0.1:{other.getsockname()[1]}"),
        ):
            pass


def _refuse_to_talk(other: socket.socket) -> None:
    with suppress(OSError):
        while True:
            other.accept()[0].close()


FIRST_RUN = """
import os, sys
from orchestrator.ray_cluster.tokens import secure_token, token_path
folder = os.path.dirname(os.environ["RAY_AUTH_TOKEN_PATH"])
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    os.environ["RAY_AUTH_TOKEN_PATH"] = f"{folder}/{number}"
    secure_token(create=True)
    print(token_path().read_text(), end=" ")
"""


@pytest.mark.slow
def test_first_runs_at_the_same_moment_agree_on_one_whole_token(token_file: Path) -> None:
    command = [sys.executable, "-c", FIRST_RUN]
    runs = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    tokens = {run.communicate(timeout=60)[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0] * len(runs)
    (agreed,) = tokens
    assert [len(token) for token in agreed.split()] == [64] * 100
    assert len(list(token_file.parent.iterdir())) == 100, "nothing else is left there"


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


REFUSED = """
import sys
from ray.cluster_utils import Cluster
from orchestrator.errors import PreflightError
from orchestrator.ray_cluster.connection import connect

address = sys.argv[1]
if address == "without a dashboard":
    address = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}).address
try:
    with connect(address):
        print("connected")
except PreflightError as error:
    print(error)
"""


def refusal(address: str, token_file: Path) -> str:
    """The message of `connect` in a process that has no cluster yet."""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    secure_token(create=True)
    return subprocess.run(
        [sys.executable, "-c", REFUSED, address],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if address != "without a dashboard" else subprocess.PIPE,
        text=True,
        timeout=90,
        check=True,
    ).stdout


@pytest.mark.ray
@pytest.mark.slow
def test_cluster_without_a_dashboard_is_refused(token_file: Path) -> None:
    with ExitStack() as stack:
        # Where this fails, another program has the port already.
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", 8265)))
        said = refusal("without a dashboard", token_file)
    assert "has no dashboard" in said
    assert "--include-dashboard=true" in said
    assert "Another program has port 8265 of this machine" in said


@pytest.mark.ray
@pytest.mark.slow
def test_another_token_is_named_in_one_line(cluster: Cluster, token_file: Path) -> None:
    address = as_given(cluster.address)
    said = refusal(address, token_file)
    assert said.splitlines() == [
        f"the Ray cluster at '{address}' rejects our token, from {token_file}; use the head node's token."
    ]


@pytest.mark.ray
def test_unreachable_cluster_is_one_clear_error(token_file: Path) -> None:
    address = "127.0.0.1:1"
    assert refusal(address, token_file).startswith(f"no Ray cluster answers at '{address}'")
