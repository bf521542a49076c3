"""A whole search on a cluster of real nodes: one node joins, one dies during a trial, and no result is lost."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.study.checkpoint_storage import TrialStorage
from tests.orchestrator.workflow.test_search_end_to_end import SPEC, check_record
from tests.support.nodes import kill_family
from tests.support.own_cluster import OwnCluster, own_cluster
from tests.support.s3_server import s3_server
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.checkpoint import read_history

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.minutes, pytest.mark.timeout(900)]
WAIT_S = 400
EPOCHS = 40
"""Long enough for a node to join and a slot to start on it while the first trials run."""
CHANGES = [f"epochs={EPOCHS}", "trials=4", "scheduler=none", "finalists={top: 1, seeds: 1}"]


def events(journal: Path) -> list[dict[str, Any]]:
    lines = journal.read_text().splitlines() if journal.exists() else []
    # The last line may be in the making.
    return [json.loads(line) for line in lines if line.endswith("}")]


def half_done(journal: Path) -> list[str]:
    """Trials with at least one epoch that have not ended."""
    told = events(journal)
    ended = {event["trial"] for event in told if event["event"] == "ended"}
    reported = Counter(event["trial"] for event in told if event["event"] == "epoch")
    return [trial for trial in reported if trial not in ended]


def wait_for(holds: Callable[[], Any], driver: subprocess.Popen[str], log: Path) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert driver.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.1)


def start_search(cluster: OwnCluster, root: Path, spec: Path, log: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orchestrator", "search", str(spec), "--root", str(root), "--json"]
    command += ["--address", cluster.address]
    command += [*(word for change in CHANGES for word in ("--set", change)), *options]
    with log.open("w") as err:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=err, text=True, env=cluster.environment, cwd=os.getcwd()
        )


def test_a_node_joins_and_is_lost_and_its_trial_goes_on_from_the_object_store(tmp_path: Path) -> None:
    root, spec, log = tmp_path / "runs", tmp_path / "tiny.yaml", tmp_path / "driver.log"
    spec.write_text(SPEC)
    journal = root / "studies" / "tiny" / "journal.jsonl"
    caches = {name: tmp_path / f"cache-{name}" for name in ("head", "node")}
    with s3_server(tmp_path) as s3, own_cluster(tmp_path) as cluster:
        cluster.start_head(1, AIB_CACHE=str(caches["head"]))
        driver = start_search(cluster, root, spec, log, "--storage", s3.uri, "--copy-data")
        try:
            wait_for(journal.exists, driver, log)
            node = cluster.add_node(1, AIB_CACHE=str(caches["node"]))
            # One CPU runs one trial at a time, so the second is on the node that joined.
            wait_for(lambda: len(half_done(journal)) == 2, driver, log)
            on_node = half_done(journal)[1]
            kill_family(node)
            said, _ = driver.communicate(timeout=WAIT_S)
        finally:
            if driver.poll() is None:
                kill_family(driver)  # type: ignore[arg-type]
        assert driver.returncode == 0, log.read_text()
        check_record(root, json.loads(said), 4)
        assert [row["epoch"] for row in stored_history(root, s3.uri, on_node)] == list(range(1, EPOCHS + 1))
    assert not list((root / "studies/tiny/trials").iterdir()), "the checkpoints are in the bucket alone"
    for cache in caches.values():
        copies = list(cache.glob("data/*/cluttered-digits-16/meta.json"))
        assert len(copies) == 1, "each node has a copy of the data in its own cache"


def stored_history(root: Path, uri: str, trial: str) -> list[dict[str, float]]:
    """A trial's history in the object store, read by this process."""
    storage = TrialStorage(root / "studies/tiny/trials", Bucket.from_uri(uri), "tiny")
    with storage.of(trial).newest() as checkpoint:
        assert checkpoint is not None
        return read_history(checkpoint)
