"""A real S3-protocol server on loopback, in a process of its own, with one bucket."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyarrow import fs

BUCKET = "aib"
KEY, SECRET = "loopback-test-user", "loopback-test-secret"
START_S = 60


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """The URI of its bucket; requests need the credentials that are in the environment during the block."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed: pip install -e '.[dev]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "s3.log").read_text()
                assert time.monotonic() < deadline_s, (folder / "s3.log").read_text()
                time.sleep(0.1)
        admin = fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            region="us-east-1",
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            allow_bucket_creation=True,
        )
        admin.create_dir(BUCKET)
        with _environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_EC2_METADATA_DISABLED="true"):
            yield f"s3://{BUCKET}/runs?endpoint_override=127.0.0.1:{port}&region=us-east-1&scheme=http"
    finally:
        server.kill()
        server.wait()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
