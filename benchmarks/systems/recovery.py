"""Recovery: seconds from the SIGKILL of one of a trial's processes to the trial's next epoch.

Tune drives a trial of two DDP workers in a slot, with a checkpoint every half second. The script kills one worker, the
slot's actor, the Train controller and the trial's own actor, one after another, each in the middle of an epoch. No
epoch may be missing afterwards. Other: a first start, from the start of the pool to the end of the first epoch.
"""

import argparse
import functools
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from ray import tune

from benchmarks.support.local_ray import cluster, environment
from benchmarks.support.measure import Figure, median, run
from benchmarks.support.negligible import fit_negligible
from orchestrator.search.trial_actor import Trial, epoch_metrics, trial_resources
from orchestrator.search.tune_run import TUNE_SETTINGS
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.study.checkpoint_storage import TrialStorage

EPOCH_S = 0.5
EPOCHS_BETWEEN = 3
"""Undisturbed epochs before each kill."""
WORKERS = 2
TITLES = {
    "one of two workers": ("ray::RayTrainWorker",),
    "the slot's actor": ("ray::Slot",),
    "the Train controller": ("ray::TrainController",),
    "the trial's own actor": ("ray::Trial", "ray::ResourceTrainable"),
}


class Kills(tune.Callback):
    """Kills one process after another while the trial runs, and records the time until the trial's next epoch."""

    def __init__(self) -> None:
        self.recovered_s: dict[str, float] = {}
        self.first_s = 0.0
        self.epochs: set[int] = set()
        self._began_s = time.perf_counter()
        self._todo = list(TITLES)
        self._hit_after: int | None = None
        self._hit_s = 0.0
        self._next = 1 + EPOCHS_BETWEEN

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        now_s, epoch = time.perf_counter(), int(epoch_metrics(result)["epoch"])
        self.first_s = self.first_s or now_s - self._began_s
        self.epochs.add(epoch)
        # A restarted actor reports its last epoch again.
        if self._hit_after is not None and epoch > self._hit_after:
            self.recovered_s[self._todo.pop(0)] = now_s - self._hit_s
            self._hit_after, self._next = None, epoch + EPOCHS_BETWEEN
        elif self._hit_after is None and self._todo and epoch >= self._next:
            self._hit_after = epoch
            threading.Timer(EPOCH_S / 2, self._kill, [TITLES[self._todo[0]]]).start()

    def _kill(self, titles: tuple[str, ...]) -> None:
        self._hit_s = time.perf_counter()
        processes(titles)[0].send_signal(signal.SIGKILL)


def measure(chosen: argparse.Namespace) -> Figure:
    rounds = 1 if chosen.quick else 3
    recovered_s: dict[str, list[float]] = {title: [] for title in TITLES}
    first_s: list[float] = []
    with cluster(num_cpus=WORKERS), tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            kills = one_trial(Path(tempfile.mkdtemp(dir=folder)))
            first_s.append(kills.first_s)
            for title, seconds in kills.recovered_s.items():
                recovered_s[title].append(seconds)
            print(f"first start {kills.first_s:.1f} s, {kills.recovered_s}", file=sys.stderr)
    slowest = max(TITLES, key=lambda title: median(recovered_s[title]))
    ours, other = median(recovered_s[slowest]), median(first_s)
    return Figure(
        name="recovery",
        ours=ours,
        other=other,
        ratio=ours / other,
        unit="s until the next epoch",
        what={
            "ours": f"after the SIGKILL with the slowest recovery, of {slowest}",
            "other": "a first start",
            "ratio": "ours / other",
        },
        details={"workers": WORKERS, "epoch_s": EPOCH_S, "recovered_s": recovered_s, "first_start_s": first_s},
    )


def one_trial(folder: Path) -> Kills:
    """Runs a trial that is long enough for every kill. Raises RuntimeError if an epoch or a kill is missing."""
    epochs = (len(TITLES) + 1) * (EPOCHS_BETWEEN + 1)
    kills = Kills()
    science = functools.partial(fit_negligible, epoch_s=EPOCH_S)
    with (
        environment(TUNE_SETTINGS),
        SlotPool([WORKERS], SlotSpec(cpus_per_worker=1, storage=folder / "pool", fit=science)) as pool,
    ):
        trainable = tune.with_parameters(
            Trial, pool=pool.ref, storage=TrialStorage(folder / "trials"), data_root=folder, max_failures=len(TITLES)
        )
        found = tune.Tuner(
            tune.with_resources(trainable, trial_resources()),
            param_space={"trial": "t00000", "config": {"epochs": epochs}},
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder),
                verbose=0,
                callbacks=[kills],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        ).fit()
    if found.num_errors or kills.epochs != set(range(1, epochs + 1)) or len(kills.recovered_s) < len(TITLES):
        raise RuntimeError(f"the trial misses an epoch or a recovery: {sorted(kills.epochs)}, {kills.recovered_s}")
    return kills


def processes(titles: tuple[str, ...]) -> list[psutil.Process]:
    """Ray's processes below this process whose titles begin with one of `titles`."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith(titles):
            found.append(process)
    return found


if __name__ == "__main__":
    sys.exit(run(__doc__, measure))
