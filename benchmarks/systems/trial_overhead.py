"""Trial overhead: seconds per further trial whose work is negligible (start, three epochs with checkpoints, end).

Ours: Tune trials that lease a warm slot. Other: Ray's documented pattern, a Tune function that fits a new TorchTrainer
for every trial, with default settings. Trials run one at a time. The time of a further trial is from the end of the
trial before it to its own end. The first trial is reported separately: it contains the start of the pool or of Tune.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ray.train
from ray import tune
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.search import Searcher

from benchmarks.support.local_ray import cluster, environment
from benchmarks.support.measure import Figure, interleave, median, run
from benchmarks.support.negligible import EPOCHS, fit_negligible, train_negligible
from orchestrator.search.trial_actor import Trial, trial_resources
from orchestrator.search.tune_run import TUNE_SETTINGS
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.study.checkpoint_storage import TrialStorage


class Ran(NamedTuple):
    """Seconds of the first trial, and of each further trial."""

    first_s: float
    further_s: list[float]


class Ends(tune.Callback):
    """Records the time at which each trial ended."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.at_s.append(time.perf_counter())

    def ran(self, started_s: float) -> Ran:
        ends = [started_s, *self.at_s]
        first_s, *further_s = [after - before for before, after in itertools.pairwise(ends)]
        return Ran(first_s, further_s)


class Numbered(Searcher):
    """Suggests a number of equal trials, one after another."""

    def __init__(self, num_trials: int) -> None:
        super().__init__()
        self._waiting = [{"trial": f"t{i:05d}", "config": {"epochs": EPOCHS}} for i in range(num_trials)]

    def suggest(self, trial_id: str) -> Any:
        return self._waiting.pop(0) if self._waiting else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None: ...
    def save(self, checkpoint_path: str) -> None: ...
    def restore(self, checkpoint_path: str) -> None: ...


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1, help="DDP workers of a trial")


def measure(chosen: argparse.Namespace) -> Figure:
    workers: int = chosen.workers
    # In the quick run the pattern has a single trial; its whole time replaces the time of a further trial.
    num_ours, num_other, rounds = (4, 1, 1) if chosen.quick else (31, 4, 3)
    firsts: dict[str, list[float]] = {"ours": [], "other": []}
    further: dict[str, list[float]] = {"ours": [], "other": []}

    def keep(name: str, found: Ran) -> float:
        firsts[name].append(found.first_s)
        further[name] += found.further_s or [found.first_s]
        return median(found.further_s or [found.first_s])

    # The pattern's driver takes one CPU in addition to its workers.
    with cluster(num_cpus=workers + 1), tempfile.TemporaryDirectory() as folder:

        def ours() -> float:
            return keep("ours", slots(num_ours, workers, Path(tempfile.mkdtemp(dir=folder))))

        def other() -> float:
            return keep("other", pattern(num_other, workers, Path(tempfile.mkdtemp(dir=folder))))

        interleave({"ours": ours, "other": other}, rounds)
    best = {name: median(values) for name, values in further.items()}
    return Figure(
        name=f"trial_overhead_{workers}_worker{'s' if workers > 1 else ''}",
        ours=best["ours"],
        other=best["other"],
        ratio=best["ours"] / best["other"],
        unit="s per further trial",
        what={
            "ours": "a Tune trial that leases a warm slot",
            "other": "a Tune function that fits a TorchTrainer of its own, default settings",
            "ratio": "ours / other",
        },
        details={
            "workers": workers,
            "epochs": EPOCHS,
            "further_trials": {name: len(values) for name, values in further.items()},
            "further_trial_s": further,
            "first_trial_s": firsts,
            "first_trial_ratio": median(firsts["ours"]) / median(firsts["other"]),
        },
    )


def slots(num_trials: int, workers: int, folder: Path) -> Ran:
    """Times our trials from the start of the pool."""
    ends, started_s = Ends(), time.perf_counter()
    with SlotPool([workers], SlotSpec(cpus_per_worker=1, storage=folder / "pool", fit=fit_negligible)) as pool:
        trainable = tune.with_parameters(
            Trial, pool=pool.ref, storage=TrialStorage(folder / "trials"), data_root=folder, max_failures=0
        )
        with environment(TUNE_SETTINGS):
            found = tune.Tuner(
                tune.with_resources(trainable, trial_resources()),
                tune_config=tune.TuneConfig(
                    search_alg=Numbered(num_trials), num_samples=num_trials, max_concurrent_trials=1, reuse_actors=True
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(folder),
                    verbose=0,
                    callbacks=[ends],
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            ).fit()
    assert found.num_errors == 0
    return ends.ran(started_s)


def pattern(num_trials: int, workers: int, folder: Path) -> Ran:
    """Times the pattern's trials from the start of Tune."""

    def drive(config: Mapping[str, Any]) -> None:
        TorchTrainer(
            train_negligible,
            train_loop_config=dict(config),
            scaling_config=ScalingConfig(num_workers=workers),
            run_config=ray.train.RunConfig(
                name=f"train-{tune.get_context().get_trial_id()}",
                storage_path=str(folder),
                callbacks=[TuneReportCallback()],  # type: ignore[list-item]  # the hints show Train's first version
            ),
        ).fit()

    ends, started_s = Ends(), time.perf_counter()
    found = tune.Tuner(
        drive,
        param_space={"epochs": EPOCHS},
        tune_config=tune.TuneConfig(num_samples=num_trials, max_concurrent_trials=1),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0, callbacks=[ends]),
    ).fit()
    assert found.num_errors == 0
    return ends.ran(started_s)


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
