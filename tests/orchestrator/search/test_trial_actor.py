"""Tune trials in slots, with real Tune, ASHA and Train workers: Tune receives every epoch once and sees no error."""

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.ray_cluster.connection import Cluster
from orchestrator.search.scheduler import build_scheduler
from orchestrator.search.trial_actor import Trial, epoch_metrics, trial_failure, trial_resources
from orchestrator.search.tune_run import TUNE_SETTINGS
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.study.checkpoint_storage import TrialStorage
from search_spaces.schema import SearchSpec
from tests.support.small_science import fit_small, small_trial

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SPEC = {
    "name": "s",
    "trial": {"model": "vgg-aib-qt", "dataset": "cluttered-digits", "epochs": 2},
    "space": {"bottleneck.beta": {"power_of_ten": [1, 2]}},
    "trials": 2,
}


class Listed(Searcher):
    """Suggests given trials, one after another."""

    def __init__(self, configs: list[dict[str, Any]]) -> None:
        super().__init__()
        self._waiting = [{"trial": f"t{i:05d}", "config": config} for i, config in enumerate(configs)]

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        return self._waiting.pop(0) if self._waiting else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None: ...
    def save(self, checkpoint_path: str) -> None: ...
    def restore(self, checkpoint_path: str) -> None: ...


class Received(tune.Callback):
    """The results that Tune received, by trial name. `kill_actor`: a trial whose Tune actor dies after that epoch."""

    def __init__(self, kill_actor: tuple[str, int] | None = None) -> None:
        self.epochs: dict[str, list[int]] = defaultdict(list)
        self.metrics: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.last: dict[str, dict[str, Any]] = {}
        self._kill_actor = kill_actor

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        name, metrics = trial.config["trial"], epoch_metrics(result)
        self.last[name] = result
        if metrics:
            assert result["epoch"] == metrics["epoch"]
            self.epochs[name].append(int(metrics["epoch"]))
            self.metrics[name].append(metrics)
        if self._kill_actor == (name, result.get("epoch")):
            self._kill_actor = None
            os.kill(result["pid"], signal.SIGKILL)


def search(
    pool: SlotPool,
    folder: Path,
    configs: list[dict[str, Any]],
    received: Received,
    scheduler: TrialScheduler,
    at_once: int,
) -> tune.ResultGrid:
    trainable = tune.with_parameters(
        Trial, pool=pool.ref, storage=TrialStorage(folder / "trials"), data_root=folder, max_failures=1
    )
    return tune.Tuner(
        tune.with_resources(trainable, trial_resources()),
        tune_config=tune.TuneConfig(
            search_alg=Listed(configs),
            num_samples=len(configs),
            max_concurrent_trials=at_once,
            reuse_actors=True,
            scheduler=scheduler,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=0,
            callbacks=[received],
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # as a search's
        ),
    ).fit()


@pytest.fixture(autouse=True)
def _lenient_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    # A failed trial has no metric to report.
    monkeypatch.setenv("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")


@pytest.fixture(scope="module")
def pool(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlotPool]:
    with SlotPool([1, 1], SlotSpec(cpus_per_worker=1, storage=tmp_path_factory.mktemp("tune"), fit=fit_small)) as slots:
        yield slots


def asha(epochs: int) -> ASHAScheduler:
    return ASHAScheduler(
        time_attr="epoch", metric="offset", mode="min", max_t=epochs, grace_period=1, reduction_factor=3,
        stop_last_trials=False,
    )  # fmt: skip


def test_search_with_early_stops_failures_and_killed_workers(pool: SlotPool, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    epochs = 6
    configs = [small_trial(epochs=epochs, seed=i, offset=float(i % 7), epoch_s=0.1) for i in range(24)]
    configs[5] = {**configs[5], "offset": -1.0, "diverge_at": 3}
    configs[9] = {**configs[9], "offset": -2.0, "kill": (0, 2, 1), "marks": str(marks)}
    received = Received()
    results = search(pool, tmp_path, configs, received, asha(epochs), at_once=2)
    assert results.num_errors == 0
    assert sorted(received.last) == [f"t{i:05d}" for i in range(24)]
    assert all(
        epochs_received == list(range(1, len(epochs_received) + 1)) for epochs_received in received.epochs.values()
    )
    completed = [name for name, result in received.last.items() if result["trial_state"] == "completed"]
    stopped = [name for name, result in received.last.items() if result["trial_state"] == "running"]
    assert len(completed) + len(stopped) == 23
    assert len(stopped) >= 8
    assert all(received.epochs[name] == list(range(1, epochs + 1)) for name in completed)
    assert "t00009" in completed, "the best trial lost its worker once and continued"
    failed = received.last["t00005"]
    assert (failed["trial_state"], failed["failure_kind"]) == ("failed", "DivergedError")
    assert "lower optim.lr" in trial_failure(failed)
    assert received.epochs["t00005"] == [1, 2]
    assert trial_failure(received.last["t00009"]) == ""


def test_more_trial_actors_than_slots_do_not_block_each_other(pool: SlotPool, tmp_path: Path) -> None:
    received = Received()
    configs = [small_trial(epochs=3, seed=i, epoch_s=0.05) for i in range(8)]
    results = search(pool, tmp_path, configs, received, FIFOScheduler(), at_once=5)
    assert results.num_errors == 0
    assert list(received.epochs.values()) == [[1, 2, 3]] * 8


def test_trials_shorter_than_an_actors_start_still_run_in_all_slots(
    pool: SlotPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", TUNE_SETTINGS["TUNE_MAX_PENDING_TRIALS_PG"])
    spec = SearchSpec.from_dict({**SPEC, "scheduler": {"name": "none"}})
    received = Received()
    configs = [small_trial(epochs=2, seed=i, epoch_s=0.2) for i in range(30)]
    search(pool, tmp_path, configs, received, build_scheduler(spec, 2, []), at_once=2)
    actors = Counter(result["pid"] for result in received.last.values())
    assert len(actors) == 2, "no actor was replaced"
    assert min(actors.values()) >= 5


def test_trial_whose_own_actor_dies_goes_on_and_trains_no_epoch_again(pool: SlotPool, tmp_path: Path) -> None:
    received = Received(kill_actor=("t00000", 2))
    results = search(pool, tmp_path, [small_trial(epochs=5, epoch_s=0.4)], received, FIFOScheduler(), at_once=1)
    assert results.num_errors == 0
    # The new actor reports all epochs of the checkpoint; the recorder drops those that it has.
    assert received.epochs["t00000"] == [1, 2, 1, 2, 3, 4, 5]
    assert received.metrics["t00000"][2:4] == received.metrics["t00000"][:2]


def test_trial_that_no_slot_serves_ends_with_a_result_that_says_why(cluster: Cluster, tmp_path: Path) -> None:
    received, never_started = Received(), SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path, fit=fit_small))
    results = search(never_started, tmp_path, [small_trial(epochs=2)], received, FIFOScheduler(), at_once=1)
    assert results.num_errors == 0
    ended = received.last["t00000"]
    assert (ended["trial_state"], ended["failure_kind"]) == ("failed", "SlotError")
    assert "the pool is closed" in trial_failure(ended)


@pytest.mark.minutes
def test_early_stops_in_one_slot_of_two_workers_keep_its_workers(
    pool: SlotPool, cluster: Cluster, tmp_path: Path
) -> None:
    pool.close()  # its workers take the whole cluster
    configs = [small_trial(epochs=6, seed=i, offset=float(i), epoch_s=0.05) for i in range(8)]
    received = Received()
    with SlotPool([2], SlotSpec(cpus_per_worker=1, storage=tmp_path / "pool", fit=fit_small)) as pair:
        results = search(pair, tmp_path, configs, received, asha(6), at_once=1)
    assert results.num_errors == 0
    assert received.epochs["t00000"] == [1, 2, 3, 4, 5, 6]
    assert sum(len(epochs) < 6 for epochs in received.epochs.values()) >= 4
    assert len({result["epoch_metrics"]["pid"] for result in received.last.values()}) == 1, "no stop cost a worker"


def test_trial_takes_no_cpu_and_stays_with_its_driver(cluster: Cluster) -> None:
    (request,) = trial_resources().bundles
    (resource,) = request
    assert resource in ray.cluster_resources()
    assert resource.startswith("node:")


def test_the_actor_of_a_trial_needs_no_torch() -> None:
    """Every running trial has an actor, and a process that looks up a slot loads the slot's class."""
    code = "import sys, orchestrator.search.trial_actor, orchestrator.slots.slot; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
