"""The exported model, measured again in a slot."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from orchestrator.finalists.reload_check import reload_error_pct
from orchestrator.process.signals import interruptible
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from tests.support.small_science import fit_small
from trainables.errors import AIBError


@pytest.mark.ray
def test_a_slot_without_room_is_waited_for_until_an_end_is_asked_for(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    pool = SlotPool([1], SlotSpec(cpus_per_worker=64, storage=tmp_path / "slots"))
    with pool, interruptible(lambda text: None) as interruption:
        signalled_s = time.monotonic() + 3
        threading.Timer(3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(SystemExit) as leaving:
            reload_error_pct(tmp_path, tmp_path, pool, interruption)
        assert time.monotonic() - signalled_s < 10
    assert leaving.value.code == 143


@pytest.mark.ray
@pytest.mark.slow
def test_a_folder_that_cannot_be_measured_is_named_and_the_slot_stays(cluster: Cluster, tmp_path: Path) -> None:
    exported = tmp_path / "export"
    exported.mkdir()
    (exported / "config.json").write_text("{}")
    with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path / "slots", fit=fit_small)) as pool:
        with pytest.raises(AIBError, match=r"the exported model .*export could not be measured again \(.*--resume"):
            reload_error_pct(exported, tmp_path, pool, None)
        (status,) = pool.status()
        assert status is not None
        assert status.groups_lost == 0
