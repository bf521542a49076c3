"""What raylets send to every driver: a log line each, without the warnings that users cannot act on."""

import logging
import time

import pytest
import ray
from ray._private.utils import publish_error_to_driver

from orchestrator.ray_cluster.connection import Cluster

MANY = (
    "WARNING: 12 PYTHON worker processes have been started on node: 1f with address: 127.0.0.1, which is 6x the "
    "maximum expected startup concurrency (2)."
)


@pytest.mark.ray
def test_raylets_messages_are_logged_without_the_one_about_many_workers(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        for message in (MANY, "Task was killed due to\nthe node running low on memory."):
            publish_error_to_driver("test", message, ray._private.worker.global_worker.gcs_client)
        deadline_s = time.monotonic() + 20
        while not caplog.records:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
    assert [one.getMessage() for one in caplog.records] == [
        "Ray: Task was killed due to the node running low on memory."
    ]
    assert capsys.readouterr().out == ""
