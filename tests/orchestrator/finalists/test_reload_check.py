"""The exported model, measured again on a worker's node."""

import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from orchestrator.finalists.reload_check import reload_error_pct
from orchestrator.process.signals import interruptible
from orchestrator.ray_cluster.connection import Cluster
from search_spaces.sections import Resources


@pytest.mark.ray
def test_a_node_that_does_not_come_is_named_and_waited_for_until_an_end_is_asked_for(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    began_s = time.monotonic()
    with caplog.at_level(logging.WARNING), interruptible(lambda text: None) as interruption:
        threading.Timer(3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(SystemExit) as leaving:
            reload_error_pct(tmp_path, tmp_path, Resources(cpus_per_worker=64), interruption, patience_s=0.2)
    assert leaving.value.code == 143
    assert time.monotonic() - began_s < 10
    assert caplog.text.count("waiting for a node with 64 CPUs and 0 GPUs") == 1
