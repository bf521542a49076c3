"""A real S3-protocol server on loopback, in a process of its own, with one bucket and two users.

It checks signatures and rights: one user may write, the other only read.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.free_port import free_port

BUCKET = "aib"
START_S = 60


class S3(NamedTuple):
    """The server's bucket and its users' environments."""

    uri: str
    writer: dict[str, str]
    reader: dict[str, str]


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """During the block this process's environment, and that of processes it starts, is the writer's."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed: pip install -e '.[dev]'")
    port = free_port()
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
        writer, reader = _users(f"http://127.0.0.1:{port}")
        with environment(**writer):
            uri = f"s3://{BUCKET}/runs?endpoint_override=127.0.0.1:{port}&region=us-east-1&scheme=http"
            yield S3(uri, writer, reader)
    finally:
        server.kill()
        server.wait()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Sets variables for the time of the block."""
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


def _users(endpoint: str) -> tuple[dict[str, str], dict[str, str]]:
    """Makes the bucket and both users; from then on the server refuses everybody else."""
    import boto3

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )

    client("s3").create_bucket(Bucket=BUCKET)
    found = []
    for name, actions in (("writer", ["s3:*"]), ("reader", ["s3:Get*", "s3:List*", "s3:Head*"])):
        iam = client("iam")
        iam.create_user(UserName=name)
        allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=json.dumps(allowed))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        found.append(
            {
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        )
    guard = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    with urllib.request.urlopen(guard, timeout=10) as answer:
        assert answer.status == 200
    return found[0], found[1]
