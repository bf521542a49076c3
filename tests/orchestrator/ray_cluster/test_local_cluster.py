"""The local cluster: its own session, loopback only, a private folder; it ends with the driver, and a loss is named."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import ray

from orchestrator.errors import PreflightError
from orchestrator.ray_cluster import ray_folder
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.heads import as_given
from orchestrator.ray_cluster.local_cluster import StartCancelledError, local_cluster
from tests.support.command import environment
from tests.support.repository import ROOT

DRIVER = """
import sys, time
from orchestrator.ray_cluster.connection import connect
with connect("local", num_cpus=1) as cluster:
    print(cluster.address, flush=True)
    time.sleep(600)
"""
GONE_S = 15
PARTS = {
    "raylet": "raylet/raylet",
    "GCS": "gcs_server",
    "dashboard agent": "ray::DashboardAgent",
    "runtime environment agent": "ray::RuntimeEnvAgent",
    "dashboard": "dashboard/dashboard.py",
    "main process": "local_head.py",
}


def cluster_processes(driver: int) -> list[psutil.Process]:
    """The processes of the local cluster that this driver started."""
    (head,) = [one for one in psutil.Process(driver).children() if "local_head.py" in " ".join(one.cmdline())]
    return [head, *head.children(recursive=True)]


def worker_pid() -> int:
    return os.getpid()


def listening(process: psutil.Process) -> set[str]:
    """The addresses at which it listens."""
    with suppress(psutil.NoSuchProcess):
        return {one.laddr.ip for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    return set()


@pytest.mark.ray
def test_no_process_of_the_local_cluster_is_in_the_drivers_session(cluster: Cluster) -> None:
    found = cluster_processes(os.getpid())
    assert len(found) > 5
    assert not [one for one in found if os.getsid(one.pid) == os.getsid(0) or os.getpgid(one.pid) == os.getpgid(0)]


@pytest.mark.ray
def test_the_local_cluster_and_its_driver_listen_on_loopback_only(cluster: Cluster) -> None:
    # A worker's process listens, too.
    assert ray.get(ray.remote(worker_pid).remote()) != os.getpid()
    found = {one: listening(one) for one in [psutil.Process(), *cluster_processes(os.getpid())]}
    assert sum(map(bool, found.values())) > 5
    assert {address for addresses in found.values() for address in addresses} <= {
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "::1",
    }


@pytest.mark.ray
def test_the_local_clusters_files_are_closed_to_others(cluster: Cluster) -> None:
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    folder = session.parent.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.name == f"aib-ray-{os.getuid()}"


@pytest.mark.ray
@pytest.mark.slow
def test_rays_own_status_finds_the_local_cluster(cluster: Cluster) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ray")), "status", "--address", as_given(cluster.address)],
        capture_output=True,
        text=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2.0 CPU" in done.stdout


@contextmanager
def driver(log: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process with a local cluster of its own."""
    with log.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            cwd=ROOT,
            env={**environment(), "RAY_AUTH_MODE": "token"},
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_driver_leaves_no_process_behind(tmp_path: Path) -> None:
    with driver(tmp_path / "log") as process:
        family = cluster_processes(process.pid)
        process.kill()
        _, left = psutil.wait_procs(family, timeout=GONE_S)
    assert left == []


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [pytest.param(name, marks=() if name == "GCS" else pytest.mark.minutes) for name in PARTS]
)
def test_a_part_of_the_cluster_that_is_killed_is_named_in_one_sentence(part: str, tmp_path: Path) -> None:
    with driver(tmp_path / "log") as process:
        family = cluster_processes(process.pid)
        hit = [one for one in family if PARTS[part] in " ".join(one.cmdline())]
        began_s = time.monotonic()
        for one in hit:
            one.send_signal(signal.SIGKILL)
        assert process.wait(20) == 1
        assert time.monotonic() - began_s < 20
        _, left = psutil.wait_procs(family, timeout=GONE_S)
    assert left == []
    said = (tmp_path / "log").read_text().splitlines()
    assert said == [f"Ray's {part} on this machine has died, and the local Ray cluster cannot go on without it."]


@pytest.mark.ray
@pytest.mark.parametrize("stage", ["local_head.py", "dashboard/dashboard.py"])
def test_a_start_that_is_cancelled_ends_at_once_and_leaves_no_process(stage: str) -> None:
    me, seen = psutil.Process(), list[psutil.Process]()
    before = set(me.children(recursive=True))

    def reached() -> bool:
        seen[:] = [one for one in me.children(recursive=True) if one not in before]
        with suppress(psutil.NoSuchProcess):
            return any(stage in " ".join(one.cmdline()) for one in seen)
        return False

    with pytest.raises(StartCancelledError), local_cluster(1, reached, lambda sentence: None):
        pass
    assert seen
    _, left = psutil.wait_procs(seen, timeout=5)
    assert left == []


def test_a_temporary_folder_with_a_long_path_gives_way_to_one_where_sockets_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    assert Path("/tmp") in ray_folder.ray_folder().parents
    monkeypatch.setenv("RAY_TMPDIR", "/dev/shm")
    found = ray_folder.ray_folder()
    assert found.parent.parent == Path("/dev/shm")
    assert found.parent.stat().st_mode & 0o777 == 0o700
    found.parent.rmdir()


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder with a path that is short enough for sockets."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        monkeypatch.setenv("RAY_TMPDIR", name)
        yield Path(name)


def test_a_folder_of_another_user_is_refused(short_folder: Path) -> None:
    (short_folder / f"aib-ray-{os.getuid()}").symlink_to("/etc")
    with pytest.raises(PreflightError, match="TMPDIR"):
        ray_folder.ray_folder()


def test_old_sessions_go_but_for_those_that_run(short_folder: Path) -> None:
    import fcntl

    sessions = [ray_folder.ray_folder() / f"session_2026-01-0{day}_00-00-00_000000_1" for day in range(1, 9)]
    for session in sessions:
        session.mkdir(parents=True)
    handle = os.open(sessions[0], os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        ray_folder.ray_folder()
    finally:
        os.close(handle)
    assert [session for session in sessions if session.exists()] == [sessions[0], *sessions[3:]]
