"""Search efficiency: epochs that sampler and ASHA need to match the full grid, as a share of the grid's epochs.

The script first trains the grid of beta and K on cluttered-digits in full. The target is its best validation error plus
the spread of the best point over other seeds. Then searches over the same points run with the project's searcher and
scheduler, in the order in which slots would run them. They read their epochs from the grid's curves: a trial is
bit-reproducible, so training it again would give the same curve.
"""

import argparse
import functools
import itertools
import math
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.search import Searcher
from scipy.stats import ConstantInputWarning, spearmanr

from benchmarks.support.learning_curves import Curve, learning_curves
from benchmarks.support.measure import Figure, median, run
from orchestrator.planning.trials import resolve_trial
from orchestrator.search.scheduler import build_scheduler
from orchestrator.search.searcher import StudySearcher
from orchestrator.study.journal import Journal
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput
from search_spaces.schema import SearchSpec
from trainables.config.trial import TrialConfig
from trainables.data.prepare import prepare

BETA, K = "bottleneck.beta", "bottleneck.latent_dim"
ERROR = "val_error_pct"
SAMPLERS = ("tpe", "gp", "random")
Point = tuple[float, int]
Curves = dict[Point, Curve]


class Silent:
    """A tracker that records nothing; the journal is enough here."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--curves", type=Path, default=Path("runs/benchmarks/curves.json"), help="trained curves")
    parser.add_argument("--data-root", type=Path, default=Path("runs/data"))
    parser.add_argument("--processes", type=int, default=2, help="trials trained at a time")
    parser.add_argument("--search-seeds", type=int, default=10)
    parser.add_argument("--slots", type=int, default=2, help="trials that the replayed searches run at a time")


def measure(chosen: argparse.Namespace) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if chosen.quick:
            chosen.curves, chosen.data_root, chosen.search_seeds = scratch / "curves.json", scratch, 2
        spec = search_spec(chosen.quick)
        side, noise_seeds = (16, 2) if chosen.quick else (16, 5)
        prepare("cluttered-digits", chosen.data_root, side)
        points = grid_points(spec)
        train = functools.partial(
            learning_curves, data_root=chosen.data_root, kept=chosen.curves, processes=chosen.processes
        )
        curves = dict(zip(points, train([trial(spec, point) for point in points]), strict=True))
        best = min(points, key=lambda point: lowest(curves[point]))
        again = train([trial(spec, best).override({"seed": seed}) for seed in range(noise_seeds)])
        errors = [lowest(curve) for curve in again]
        noise = spread(errors)
        target = lowest(curves[best]) + noise
        epochs = resolve_trial(spec, {}).epochs
        spent = {
            sampler: [
                epochs_to(target, spec, sampler, seed, curves, chosen.slots, scratch / f"{sampler}-{seed}.jsonl")
                for seed in range(chosen.search_seeds)
            ]
            for sampler in SAMPLERS
        }
    grid_epochs = len(points) * epochs
    middle = {sampler: median(values) for sampler, values in spent.items()}
    return Figure(
        name="search_efficiency",
        ours=middle["tpe"],
        other=float(grid_epochs),
        ratio=middle["tpe"] / grid_epochs,
        unit="epochs",
        what={
            "ours": "TPE and ASHA until within seed noise of the grid's best, median over search seeds",
            "other": "the full grid",
            "ratio": "ours / other",
        },
        details={
            "share_of_the_grid": {sampler: value / grid_epochs for sampler, value in middle.items()},
            "epochs_by_search_seed": spent,
            "best_point": dict(zip((BETA, K), best, strict=True)),
            "grid_best_error_pct": lowest(curves[best]),
            "seed_noise_pct": noise,
            "best_point_error_pct_by_seed": errors,
            "points_within_noise": sum(lowest(curve) <= target for curve in curves.values()),
            "rank_correlation_epoch_to_end": rank_correlation(list(curves.values())),
            "errors_pct_by_point": {
                f"{beta:g}, {latent}": [row[ERROR] for row in curves[beta, latent]] for beta, latent in points
            },
        },
    )


def search_spec(quick: bool) -> SearchSpec:
    """A grid of 25 points over nine epochs; rungs after one and three."""
    images = (64, 32, 32) if quick else (2000, 1000, 200)
    epochs, width = (3, 0.0625) if quick else (9, 0.125)
    betas, latent_dims = ([0, 2], [8, 16]) if quick else ([0, 1, 2, 3, 4], [8, 16, 32, 64, 128])
    return SearchSpec.from_dict(
        {
            "name": "efficiency",
            "trial": {
                "model": "vgg-aib-qt",
                "dataset": "cluttered-digits",
                "epochs": epochs,
                "model.width": width,
                "data": dict(
                    zip(("train_images", "val_images", "test_images"), images, strict=True),
                    image_size=16,
                    crop_padding=1,
                ),
                "optim": {"batch_size": 32, "lr": 0.01, "decay_factor": 0.3, "decay_at_epochs": [7, 9]},
                "evaluation": {"interp_images": 16, "occluder_dataset": "cluttered-digits"},
            },
            "space": {BETA: {"power_of_ten": betas}, K: {"choice": latent_dims}},
            "scheduler": {"name": "asha", "grace_epochs": 1, "reduction_factor": 3},
            "trials": len(betas) * len(latent_dims),
        }
    )


def grid_points(spec: SearchSpec) -> list[Point]:
    betas, latent_dims = (spec.space[key].grid() or () for key in (BETA, K))
    return [(float(beta or 0), int(latent or 0)) for beta, latent in itertools.product(betas, latent_dims)]


def trial(spec: SearchSpec, point: Point) -> TrialConfig:
    return resolve_trial(spec, dict(zip((BETA, K), point, strict=True)))


def lowest(curve: Curve) -> float:
    """The error of a trial's best epoch, by which it is judged."""
    return min(row[ERROR] for row in curve)


def spread(errors: list[float]) -> float:
    """A robust standard deviation: 1.48 times the median distance from the median.

    For a normal distribution it equals the standard deviation. A single seed that stays on the plateau hardly changes
    it.
    """
    middle = statistics.median(errors)
    return 1.4826 * statistics.median(abs(error - middle) for error in errors)


def rank_correlation(curves: list[Curve]) -> list[float]:
    """Spearman's correlation, over the grid's points, of the error after each epoch with the best epoch's error."""
    judged = [lowest(curve) for curve in curves]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # undefined where all errors are equal
        return [
            float(spearmanr([curve[epoch][ERROR] for curve in curves], judged).statistic)
            for epoch in range(len(curves[0]))
        ]


def epochs_to(
    target: float, spec: SearchSpec, sampler: str, seed: int, curves: Curves, slots: int, journal: Path
) -> float:
    """Epochs over all trials of a search until the first trial reaches the target; infinite if no trial does."""
    spec = SearchSpec.from_dict({**spec.to_dict(), "sampler": {"name": sampler, "seed": seed}, "trials": 1000})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    recorder = Recorder(Journal(journal), Silent(), DatasetInput(name="", digest="", source="", num_train=0), {})
    resolve = functools.partial(resolve_trial, spec)
    searcher = StudySearcher(spec, optuna.create_study(), recorder, resolve, at_once=lambda: slots)
    scheduler: Any = build_scheduler(spec, resolve({}).epochs, [])
    running: dict[str, tuple[Any, Curve]] = {}
    spent = 0
    limit = len(curves) * resolve({}).epochs
    for number in itertools.count():
        while len(running) < slots:
            name = f"{number}-{len(running)}"
            suggested = searcher.suggest(name)
            if suggested in (None, Searcher.FINISHED):
                break
            config = suggested["config"]
            running[name] = (SimpleNamespace(trial_id=name), list(curves[config[BETA], config[K]]))
            scheduler.on_trial_add(None, running[name][0])
        for name, (tune_trial, left) in list(running.items()):
            metrics = left.pop(0)
            spent += 1
            if metrics[ERROR] <= target:
                return float(spent)
            result = {**metrics, "epoch": int(metrics["epoch"]), "epoch_metrics": metrics}
            stopped = left and scheduler.on_trial_result(None, tune_trial, result) == scheduler.STOP
            if left and not stopped:
                searcher.on_trial_result(name, result)
                continue
            searcher.on_trial_complete(name, result)
            del running[name]
        if spent >= limit:
            return math.inf
    raise AssertionError("count() has no end")


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
