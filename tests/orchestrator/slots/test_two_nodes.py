"""The real training on two real nodes: workers where the placement wants them, and the same numbers as on one node."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from ray.util.state import list_actors

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.client import acquire
from orchestrator.slots.messages import Assignment, EpochResult, Finished
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from tests.support.nodes import JoinedNode, second_node
from tests.support.tiny_trial import on_ranks, tiny_trial, without_timings
from trainables.checkpoints.checkpoint import latest_checkpoint, read_tensors
from trainables.checkpoints.folder_store import FolderStore
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import open_store
from trainables.data.splits import select
from trainables.evaluation.evaluate import evaluate, final_draws
from trainables.models.build import build_model
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CONFIG = tiny_trial(epochs=2)


@pytest.fixture(scope="module")
def node(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JoinedNode]:
    """A second node of two CPUs beside the session's node of two."""
    with second_node(cluster, 2, tmp_path_factory.mktemp("node") / "log") as joined:
        yield joined


def history(runtime: Runtime, config: dict[str, Any]) -> list[dict[str, float]]:
    return [report.metrics for report in fit(TrialConfig.from_dict(config), runtime)]


def worker_nodes() -> list[str]:
    """Node ids of the Train workers alive, one each."""
    alive = list_actors(filters=[("state", "=", "ALIVE")], limit=1000)
    return [actor.node_id for actor in alive if actor.class_name == "RayTrainWorker"]


def run_on(
    placement: Literal["PACK", "SPREAD"], folder: Path, data_root: Path
) -> tuple[list[str], list[dict[str, float]], Finished]:
    """One trial of two workers; the workers' nodes, its metrics, its end."""
    assignment = Assignment(
        trial="t00000", config=CONFIG.to_dict(), checkpoints=FolderStore(folder / "t00000"), data_root=data_root
    )
    with SlotPool([2], SlotSpec(cpus_per_worker=1, storage=folder, placement=placement)) as pool:
        with acquire(pool.ref, "the test", timeout_s=90) as lease:
            lease.start(assignment)
            rows = []
            while isinstance(message := lease.next(), EpochResult):
                rows.append(message.metrics)
                ids = worker_nodes()
        return ids, rows, message


def test_spread_workers_on_two_nodes_give_what_two_ranks_on_one_give(
    node: JoinedNode, tmp_path: Path, digits_root: Path
) -> None:
    ids, rows, finished = run_on("SPREAD", tmp_path, digits_root)
    assert finished == Finished("completed")
    assert len(ids) == len(set(ids)) == 2
    assert node.node_id in ids
    assert without_timings(rows) == without_timings(on_ranks(2, history, digits_root, CONFIG.to_dict())[0])
    checkpoint = latest_checkpoint(tmp_path / "t00000")
    assert checkpoint is not None
    assert rows[-1]["final_val_error_pct"] == error_of_one_rank(checkpoint, digits_root)


@pytest.mark.minutes
def test_packed_workers_share_a_node(node: JoinedNode, tmp_path: Path, digits_root: Path) -> None:
    ids, _, finished = run_on("PACK", tmp_path, digits_root)
    assert finished == Finished("completed")
    assert len(ids) == 2
    assert len(set(ids)) == 1


def error_of_one_rank(checkpoint: Path, data_root: Path) -> float:
    """The validation error of a checkpoint's best weights, evaluated whole in this process."""
    store = open_store(data_root, CONFIG.data.name, CONFIG.data.stored_size)
    model = build_model(CONFIG, store.num_classes)
    model.load_state_dict(read_tensors(checkpoint, "best"))
    runtime = Runtime(data_root=data_root, device=torch.device("cpu"))
    return evaluate(model, select(store, CONFIG.data).val, "val", CONFIG, runtime, final_draws(CONFIG))["error_pct"]
