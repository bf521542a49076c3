"""`--address auto` on a machine with several clusters, which are found by their raylets' command lines."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.ray_cluster.heads import chosen_head, heads_of_this_machine

HERE, OTHER, LOCAL = "198.51.100.1:6379", "198.51.100.2:6379", "127.0.0.1:1"


@contextmanager
def raylet(address: str, folder: str = "/tmp/ray") -> Iterator[None]:
    """A process that looks like one."""
    command = ["raylet", "-c", "input()", f"--gcs-address={address}", f"--temp_dir={folder}"]
    with subprocess.Popen(command, executable=sys.executable, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def two_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with ExitStack() as stack:
        stack.enter_context(raylet(HERE))
        stack.enter_context(raylet(OTHER))
        stack.enter_context(raylet(LOCAL, "/tmp/aib-ray-1000/ray"))
        yield


def test_local_clusters_of_searches_are_not_counted() -> None:
    found = heads_of_this_machine()
    assert {HERE, OTHER} <= set(found)
    assert LOCAL not in found


def test_several_heads_of_which_none_is_known_to_be_the_last_are_named() -> None:
    with pytest.raises(PreflightError) as refused:
        chosen_head("auto")
    assert f"--address {HERE}" in str(refused.value)
    assert f"--address {OTHER}" in str(refused.value)


def test_the_head_that_was_started_last_is_joined_and_the_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(HERE)
    assert chosen_head("auto") == HERE
    (record,) = caplog.records
    assert f"using the Ray head at {HERE}" in record.getMessage()
    assert f"--address {OTHER}" in record.getMessage()


def test_an_address_that_is_given_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_head("198.51.100.9:1") == "198.51.100.9:1"
    monkeypatch.setenv("RAY_ADDRESS", "198.51.100.8:1")
    assert chosen_head("auto") == "198.51.100.8:1"
