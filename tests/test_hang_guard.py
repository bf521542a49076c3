"""A test process that hangs ends, with the stacks of its threads, so that `make test` always ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

_CONFTEST = """
import os, sys
sys.path.insert(0, {root!r})
from tests.support.hang_guard import HangGuard
def pytest_configure(config):
    config.pluginmanager.register(HangGuard(os.dup(2), teardown_s=1, exit_s=1))
"""
_HUNG_TEARDOWN = """
import time, pytest
@pytest.fixture
def stuck():
    yield
    time.sleep(600)
@pytest.mark.timeout(1)
def test_hangs_twice(stuck):
    time.sleep(600)
"""
_HUNG_EXIT = """
import atexit, time
def test_is_fine():
    atexit.register(time.sleep, 600)
"""


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [(_HUNG_TEARDOWN, 1, "in stuck"), (_HUNG_EXIT, 0, "did not end within 1 s of its last test")],
    ids=["teardown", "exit"],
)
def test_a_hang_ends_the_process_and_is_shown(tmp_path: Path, source: str, status: int, said: str) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST.format(root=str(ROOT)))
    (tmp_path / "test_hung.py").write_text(source)
    options = ["-q", "-p", "no:faulthandler", "-p", "no:cacheprovider", "-o", "timeout=300", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr + done.stdout
