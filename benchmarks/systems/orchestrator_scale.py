"""Scale of the orchestrator: wall time of 100 to 3 000 trials that only sleep, against the sleep alone.

Each scale is a whole search as `aib search` runs it: TPE over SQLite, ASHA, warm slots, journal, MLflow over SQLite
through the disk buffer, and the printed lines. ASHA stops no trial, since all errors are equal. The time runs from the
first suggestion, with the slots ready, until everything is recorded. Ideal: the trials' sleep divided by the slots.
"""

import argparse
import functools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.support.local_ray import cluster, environment
from benchmarks.support.measure import Figure, run
from benchmarks.support.negligible import EPOCHS, fit_negligible
from orchestrator.planning.trials import resolve_trial
from orchestrator.search.tune_run import TUNE_SETTINGS, run_search
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.status.live_view import LiveView
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.study import Study, open_study
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.store import local_tracking_uri, prepare_store
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput, OpenStudy
from search_spaces.schema import SearchSpec

DATASET = DatasetInput(name="cluttered-digits", digest="0" * 64, source="composed", num_train=100)
START_S = 300.0
DELIVERY_S = 600.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scales", type=int, nargs="+", default=[100, 300, 1000, 3000], help="numbers of trials")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--epoch-s", type=float, default=0.5, help="sleep of an epoch; a trial has three")
    parser.add_argument("--sampler", default="tpe")


def measure(chosen: argparse.Namespace) -> Figure:
    if chosen.quick:
        chosen.scales, chosen.slots, chosen.epoch_s = [4, 8], 1, 0.1
    scales: dict[int, dict[str, float]] = {}
    science = functools.partial(fit_negligible, epoch_s=chosen.epoch_s)
    with cluster(num_cpus=chosen.slots), tempfile.TemporaryDirectory() as folder, environment(TUNE_SETTINGS):
        root = Path(folder)
        prepare_store(local_tracking_uri(root), "warm")
        storage = root / "pool"
        with SlotPool([1] * chosen.slots, SlotSpec(cpus_per_worker=1, storage=storage, fit=science)) as pool:
            await_slots(pool)
            for trials in chosen.scales:
                found = one_scale(trials, chosen.sampler, pool, root)
                ideal_s = trials * EPOCHS * chosen.epoch_s / chosen.slots
                found |= {"ideal_s": ideal_s, "ratio": found["wall_s"] / ideal_s}
                found["overhead_s_per_trial"] = (found["wall_s"] - ideal_s) * chosen.slots / trials
                scales[trials] = found
                print(f"{trials} trials: {found}", file=sys.stderr)
    quoted = 1000 if 1000 in scales else max(scales)
    return Figure(
        name="orchestrator_scale",
        ours=scales[quoted]["wall_s"],
        other=scales[quoted]["ideal_s"],
        ratio=scales[quoted]["ratio"],
        unit=f"s for {quoted} trials",
        what={
            "ours": "wall time of the search, everything recorded",
            "other": "ideal: the trials' sleep divided by the slots",
            "ratio": "ours / other",
        },
        details={
            "slots": chosen.slots,
            "epochs_of_a_trial": EPOCHS,
            "epoch_s": chosen.epoch_s,
            "sampler": chosen.sampler,
            "scales": scales,
        },
    )


def one_scale(trials: int, sampler: str, pool: SlotPool, root: Path) -> dict[str, float]:
    """Wall time, memory of this process and time to resume, for one search."""
    spec, paths = search_spec(trials, sampler), study_paths(root, f"scale-{trials}")
    with recorded(spec, paths, resume=False) as (study, recorder, tracker):
        started_s = time.perf_counter()
        search(study, recorder, pool)
        recorder.settle()
        searched_s = time.perf_counter() - started_s
        assert tracker.flush(DELIVERY_S) == 0
        wall_s = time.perf_counter() - started_s
        states = [record.state for record in recorder.journal.state.trials.values()]
        assert states == ["completed"] * trials
    started_s = time.perf_counter()
    with recorded(spec, paths, resume=True) as (study, recorder, _):
        search(study, recorder, pool)
        resume_s = time.perf_counter() - started_s
    return {
        "wall_s": wall_s,
        "delivery_after_the_search_s": wall_s - searched_s,
        "resume_s": resume_s,
        "driver_rss_mib": psutil.Process().memory_info().rss / 2**20,
    }


def search_spec(trials: int, sampler: str) -> SearchSpec:
    return SearchSpec.from_dict(
        {
            "name": f"scale-{trials}",
            "trial": {"model": "vgg-aib-qt", "dataset": "cluttered-digits", "epochs": EPOCHS},
            "space": {
                "bottleneck.beta": {"power_of_ten": [0, 1, 2, 3, 4]},
                "bottleneck.latent_dim": {"choice": [64, 128, 256, 512, 1024]},
                "attention.num_anchors": {"int": [2, 100], "log": True},
                "attention.lambda_q": {"float": [0.05, 1.0], "log": True},
                "attention.lambda_c": {"float": [0.02, 1.0], "log": True},
            },
            "sampler": {"name": sampler},
            "scheduler": {"name": "asha", "reduction_factor": 3},
            "trials": trials,
        }
    )


@contextmanager
def recorded(spec: SearchSpec, paths: StudyPaths, resume: bool) -> Iterator[tuple[Study, Recorder, BufferedTracker]]:
    """Opens a study and its record as a search does."""
    uri = local_tracking_uri(paths.root)
    with ExitStack() as stack:
        study = stack.enter_context(open_study(spec, paths, resume, {}))
        prepare_store(uri, spec.name)
        tracker = BufferedTracker(MlflowTracker(uri, paths.artifacts), Spool(paths.spool))
        stack.callback(tracker.close)
        tracker.write(OpenStudy(spec.name, study.signature, {}, {}))
        silent = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        view = stack.enter_context(LiveView(Console(file=silent), study.journal.state, spec.trials, EPOCHS, lambda: 1))
        recorder = Recorder(study.journal, tracker, DATASET, {}, on_change=view.update)
        yield study, recorder, tracker


def search(study: Study, recorder: Recorder, pool: SlotPool) -> None:
    def resolve(params: Any) -> Any:
        return resolve_trial(study.spec, params)

    run_search(study, recorder, pool, study.paths.data, resolve, threading.Event())


def await_slots(pool: SlotPool) -> None:
    deadline_s = time.monotonic() + START_S
    while any(status is None or status.state != "idle" for status in pool.status()) or len(pool.status()) < pool.size:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the slots did not start: {pool.status()}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
