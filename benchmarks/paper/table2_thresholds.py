"""Table 2 at the thresholds 0.85, 0.9 and 0.95 from trained checkpoints, compared with the published scores.

The paper gives neither the threshold nor the normalisation of the maps. For each reading of the maps and each
threshold, the script compares our ten scores of every model with the paper's: the mean distance in points, and the
correlation over all scores, here called the shape. A finished trial has its scores in its checkpoint. The script
scores an unfinished trial itself, with the trial's best weights.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.paper.paper_trial import DATASET, departures
from benchmarks.paper.visit import Trial, read_trial
from benchmarks.support.measure import machine, record, versions
from trainables.checkpoints.checkpoint import read_tensors
from trainables.data.arrow_store import open_store
from trainables.data.splits import select
from trainables.errors import AIBError
from trainables.evaluation.evaluate import final_draws
from trainables.evaluation.final_score import interpretability, occluders
from trainables.metrics import INTERP_CHANCE, INTERP_CURVE, INTERP_READINGS, MODIFICATIONS, interp_metric, on_test
from trainables.models.build import build_model
from trainables.paper.published import published_interpretability_pct
from trainables.runtime import numerics
from trainables.runtime.runtime import Runtime

NAME = "table2_thresholds"
SUBJECTS = (*MODIFICATIONS, INTERP_CHANCE)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.paper.{NAME}", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("trials", nargs="*", type=Path, help="folders of trials; default: all of runs/reproduce")
    parser.add_argument("--data-root", type=Path, default=Path("runs/data"), help="folder of prepared data sets")
    parser.add_argument("--quick", action="store_true", help="for quick trials; the figure means nothing")
    parser.add_argument("--record", action="store_true", help="write the result under benchmarks/results")
    chosen = parser.parse_args(arguments)
    if chosen.quick and chosen.record:
        parser.error(
            "--quick and --record are both given; allowed: one of them. Record a full measurement: leave --quick out"
        )
    folders = chosen.trials or sorted(path.parent for path in Path("runs/reproduce").glob("*/checkpoints"))
    try:
        trials = [trial for folder in folders if (trial := read_trial(folder)) is not None and _is_published(trial)]
        if not trials:
            where = ", ".join(map(str, folders)) or "runs/reproduce"
            raise ValueError(
                f"{where} has no trial of a model of Table 2; train one with: python -m benchmarks.paper.reproduce"
            )
        found = result({trial.folder.name: (trial, scores(trial, chosen.data_root)) for trial in trials}, chosen.quick)
    except (AIBError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found), flush=True)
    if chosen.record:
        record(found)
    return 0


def _is_published(trial: Trial) -> bool:
    return bool(published_interpretability_pct(trial.config.model.name, DATASET))


def scores(trial: Trial, data_root: Path) -> dict[str, float]:
    """Interpretability scores on test images, under the plain metric names."""
    names = [interp_metric(name, r, q) for name in SUBJECTS for r in INTERP_READINGS for q in INTERP_CURVE]
    if trial.finished:
        return {name: trial.history[-1][on_test(name)] for name in names}
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    runtime, config = Runtime(data_root=data_root, device=device), trial.config
    numerics.apply(config, device)
    store = open_store(data_root, config.data.name, config.data.stored_size)
    model = numerics.place(build_model(config, store.num_classes), config, device)
    model.load_state_dict(read_tensors(trial.checkpoint, "best"))
    test = select(store, config.data).test.head(config.evaluation.interp_images)
    found = interpretability(model, test, config, occluders(config, runtime), runtime, final_draws(config))
    return {name: found[name] for name in names}


def result(found: Mapping[str, tuple[Trial, Mapping[str, float]]], quick: bool = False) -> dict[str, Any]:
    """The recorded result."""
    published = [published_interpretability_pct(trial.config.model.name, DATASET) for trial, _ in found.values()]
    paper = [one[name] for one in published for name in MODIFICATIONS]
    compared: list[dict[str, Any]] = []
    for reading, (quantity, threshold) in product(INTERP_READINGS, INTERP_CURVE.items()):
        ours = [values[interp_metric(m, reading, quantity)] for _, values in found.values() for m in MODIFICATIONS]
        compared.append(
            {
                "reading": reading,
                "threshold": threshold,
                "mean_distance_points": math.fsum(abs(a - b) for a, b in zip(ours, paper, strict=True)) / len(ours),
                "correlation": correlation(ours, paper),
            }
        )
    shaped = [row for row in compared if row["correlation"] is not None]
    return {
        "name": NAME,
        "closest_in_shape": max(shaped, key=lambda row: row["correlation"], default=None),
        "closest_in_points": min(compared, key=lambda row: row["mean_distance_points"]),
        "compared": compared,
        "trials": {name: _trial(trial, values) for name, (trial, values) in found.items()},
        "command": f"python -m benchmarks.paper.{NAME} {' '.join(sys.argv[1:])}",
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
    }


def _trial(trial: Trial, values: Mapping[str, float]) -> dict[str, Any]:
    published = published_interpretability_pct(trial.config.model.name, DATASET)
    rows = {
        reading: {
            str(threshold): {name: values[interp_metric(name, reading, quantity)] for name in SUBJECTS}
            for quantity, threshold in INTERP_CURVE.items()
        }
        for reading in INTERP_READINGS
    }
    return {
        "model": trial.config.model.name,
        "recipe": trial.config.recipe,
        "seed": trial.config.seed,
        "epochs": trial.epoch,
        "finished": trial.finished,
        "occluder": trial.config.evaluation.occluder_dataset,
        "departures": departures(trial.config),
        "paper_pct": published,
        "ours_pct": rows,
    }


def correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation; None if one of the two does not vary."""
    means = [math.fsum(values) / len(values) for values in (first, second)]
    deviations = [[value - mean for value in values] for values, mean in zip((first, second), means, strict=True)]
    norms = [math.sqrt(math.fsum(d * d for d in values)) for values in deviations]
    if min(norms) < 1e-9:
        return None
    return math.fsum(a * b for a, b in zip(*deviations, strict=True)) / (norms[0] * norms[1])


if __name__ == "__main__":
    sys.exit(main())
