"""Server processes of a test: each started in a group of its own, waited for, and stopped by that group alone."""

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def without_ours() -> dict[str, str]:
    """This process's environment without what names a cluster, a store or an account."""
    private = ("RAY_", "AIB_", "MLFLOW_", "AWS_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(private)}


@contextmanager
def serving(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    env: Mapping[str, str],
    cwd: Path,
    user: str | None = None,
    timeout_s: float = 180,
) -> Iterator[None]:
    """A server until the block ends; the test fails with its log where it does not get ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
        )
    try:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.2)
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        # Workers outlive a server that died, so the group is ended even where its leader is gone.
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            continue
