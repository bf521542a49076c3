"""Metrics at the endpoint where Prometheus reads them, on a real cluster with tokens."""

import logging
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from orchestrator.monitoring.readings import METRICS
from orchestrator.monitoring.study_metrics import monitored
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.metric import Reading
from orchestrator.ray_cluster.metrics_exporter import exported
from orchestrator.slots.messages import Assignment
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.study.checkpoint_storage import TrialStorage
from orchestrator.study.journal import Journal
from orchestrator.study.paths import study_paths
from orchestrator.study.study import Study
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput
from orchestrator.tracking.tracker import TrackerUnavailableError
from search_spaces.schema import SearchSpec
from tests.support.slot_trials import Run
from tests.support.small_science import fit_small, small_trial
from trainables.config.trial import TrialConfig

SCRAPE_S = 60


class AwayTracker:
    """A tracking server that cannot be reached."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*args: object, **kwargs: object) -> None:
            if name != "close":
                raise TrackerUnavailableError("away")

        return call


def scrape() -> dict[str, float]:
    """Every sample of the study at the first node's endpoint, keyed by name and the labels kind, state and trial."""
    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("ray_aib_") and 'study="watched"' in line:
            name, _, rest = line.partition("{")
            labels = dict(part.split("=", 1) for part in rest.partition("}")[0].split(",") if "=" in part)
            ours = ",".join(labels[key].strip('"') for key in ("kind", "state", "trial") if key in labels)
            found[f"{name.removeprefix('ray_')}{{{ours}}}"] = float(line.rpartition(" ")[2])
    return found


@pytest.mark.ray
@pytest.mark.slow
def test_every_metric_of_a_running_study_is_scraped(
    cluster: Cluster, tmp_path: Path, new_assignment: Callable[..., Assignment], run: Run
) -> None:
    spec = SearchSpec.from_dict({"name": "watched", "trial": {"model": "vgg-aib-qt"}, "space": {}, "trials": 1})
    paths = study_paths(tmp_path, spec.name)
    paths.folder.mkdir(parents=True)
    journal = Journal(paths.folder / "journal.jsonl")
    tracker = BufferedTracker(AwayTracker(), Spool(paths.spool))  # type: ignore[arg-type]
    recorder = Recorder(journal, tracker, DatasetInput(name="d", digest="0", source="s", num_train=64), {})
    study = Study(spec, "signature", paths, journal, False, TrialStorage(paths.trials))
    pool = SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path, fit=fit_small))
    with pool, monitored(study, recorder, lambda: pool):
        recorder.trial_started("t00000", "search", {}, TrialConfig.from_dict(spec.trial))
        # Rank 0 is killed once: one worker group is lost and replaced.
        ran = run(pool.ref, new_assignment(small_trial(epochs=3, kill=(0, 2, 1))))
        for epoch in ran.epochs:
            recorder.epoch("t00000", {"epoch": float(epoch), "images_per_s": 32.0, "epoch_s": 2.0})
        recorder.trial_ended("t00000", "completed")
        wanted = {
            "aib_trials_planned{}": 1.0,
            "aib_trials{search,completed}": 1.0,
            "aib_trials_ended_total{search,completed}": 1.0,
            "aib_epochs_total{}": 3.0,
            "aib_images_total{}": 192.0,
            "aib_images_per_second{t00000}": 0.0,
            "aib_slots{idle}": 1.0,
            "aib_slots_wanted{}": 1.0,
            "aib_worker_groups_lost_total{}": 1.0,
        }
        deadline_s = time.monotonic() + SCRAPE_S
        while not wanted.items() <= (found := scrape()).items():
            assert time.monotonic() < deadline_s, {name: found.get(name) for name in wanted}
            time.sleep(1)
    assert found["aib_records_pending{}"] >= 5, "the opening, three epochs and the end wait for the server"
    # A counter that has counted nothing yet is not shown.
    scraped = {name.partition("{")[0] for name in found}
    assert scraped == {metric.name for metric in METRICS} - {"aib_records_rejected_total"}
    tracker.close()


def test_a_reading_that_fails_is_logged_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    looks = []

    def read() -> list[Reading]:
        looks.append(1)
        raise RuntimeError("the slots do not answer")

    with caplog.at_level(logging.WARNING), exported(METRICS, read, look_s=0.01):
        deadline_s = time.monotonic() + 10
        while len(looks) < 5:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    assert sum("metrics could not be read" in record.message for record in caplog.records) == 1


def test_a_reading_that_hangs_does_not_hold_the_search_up() -> None:
    released = threading.Event()

    def read() -> list[Reading]:
        released.wait(60)
        return []

    began_s = time.monotonic()
    with exported(METRICS, read, look_s=0.01):
        pass
    assert time.monotonic() - began_s < 5
    released.set()
