"""Table 1 on CIFAR-10 at the paper's size, in visits: trains for some minutes and continues when started again.

It trains the models one after another, each with each recipe. Each trial, also an unfinished one, gives one JSON
object: the test error beside the paper's, the differences from the recipe, the seconds of all visits, and every
epoch's metrics.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

from benchmarks.paper import paper_trial
from benchmarks.paper.paper_trial import DATASET, departures, result_name
from benchmarks.paper.visit import Trial, begun, train_further
from benchmarks.support.measure import machine, median, record, versions
from trainables.config.recipes import RECIPES
from trainables.errors import AIBError
from trainables.models.traits import MODELS
from trainables.paper.published import published_error_pct


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper.reproduce", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--models", nargs="+", default=["vgg-aib-qt", "vgg-aib"], choices=MODELS)
    parser.add_argument("--recipes", nargs="+", default=["paper"], choices=RECIPES)
    paper_trial.options(parser, "runs/reproduce")
    chosen = parser.parse_intermixed_args(arguments)
    visit = paper_trial.begin(chosen, parser)
    status, trained = 0, False
    for recipe, model in product(chosen.recipes, chosen.models):
        try:
            config = paper_trial.paper_trial(model, recipe, chosen)
            name = result_name("reproduce", model, recipe, config.seed)
            folder = chosen.out / name
            trial = begun(config, folder)
            if (trial is None or not trial.finished) and (visit.left_minutes > 0 or not trained):
                trained = True  # Even the shortest visit trains one epoch.
                trial = train_further(config, folder, visit)
        except (AIBError, ValueError) as error:
            print(f"{parser.prog}: {model}, {recipe}: {error}", file=sys.stderr)
            status = 1
            continue
        if trial is None:
            print(
                f"{parser.prog}: {model}, {recipe}: did not start in this visit; run the same command again",
                file=sys.stderr,
            )
            continue
        found = result(name, trial, chosen.quick)
        print(json.dumps({key: value for key, value in found.items() if key != "log"}), flush=True)
        if chosen.record:
            record(found)
    return status


def result(name: str, trial: Trial, quick: bool = False) -> dict[str, Any]:
    """The recorded result.

    `test_error_pct` belongs to the best validation epoch. For a finished trial it is measured with the paper's number
    of draws, for an unfinished one with one draw.
    """
    config, last = trial.config, trial.history[-1]
    paper = published_error_pct(config.model.name, DATASET)
    best = trial.best_row()
    error = last["final_test_error_pct"] if trial.finished else best["test_error_pct"]
    per_epoch = trial.seconds / max(1, sum(1 + v["epochs"][1] - v["epochs"][0] for v in trial.visits))
    # The median leaves out starts, compilation and final scores, which fall into a few epochs.
    typical = median(trial.epoch_seconds or [per_epoch])
    return {
        "name": name,
        "model": config.model.name,
        "dataset": config.data.name,
        "recipe": config.recipe,
        "seed": config.seed,
        "test_error_pct": error,
        "paper_test_error_pct": paper,
        "difference": None if paper is None else error - paper,
        "best_test_epoch_error_pct": min(row["test_error_pct"] for row in trial.history),
        "val_error_pct": best["val_error_pct"],
        "best_epoch": int(best["epoch"]),
        "epochs": trial.epoch,
        "epochs_planned": config.epochs,
        "finished": trial.finished,
        "seconds": trial.seconds,
        "seconds_per_epoch": per_epoch,
        "median_seconds_of_an_epoch": typical,
        "extrapolated_seconds_of_200_epochs": 200 * typical,
        "images_per_s": median([row["images_per_s"] for row in trial.history]),
        "departures": departures(config),
        "precision": _precision(trial),
        "data_digest": trial.state["data"]["digest"],
        "command": f"python -m benchmarks.paper.reproduce {' '.join(sys.argv[1:])}",
        "quick": quick,
        "machine": trial.visits[-1]["machine"] if trial.visits else machine(),
        "versions": trial.visits[-1]["versions"] if trial.visits else versions(),
        "visits": trial.visits,
        "config": config.to_dict(),
        "log": trial.history,
    }


def _precision(trial: Trial) -> str:
    numerics = trial.config.numerics
    return "tf32" if numerics.precision == "fp32" and numerics.tf32 else numerics.precision


if __name__ == "__main__":
    sys.exit(main())
