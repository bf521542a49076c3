"""The paper's grid of beta = 10^-p on CIFAR-10 at full width, by successive halving on one GPU, in visits.

Every beta trains to the first rung, the better half trains to the next rung, and one trains to the end. The script
reads the next trial from the trials' histories, so a visit may end at any time. Validation errors decide; test errors
are reported beside them.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.paper import paper_trial
from benchmarks.paper.paper_trial import departures, result_name
from benchmarks.paper.visit import Trial, begun, diverged, train_further
from benchmarks.support.measure import record
from trainables.config.recipes import RECIPES
from trainables.errors import AIBError, DivergedError
from trainables.models.traits import MODELS, traits

PAPER_BETA = 0.01
POWERS = (0, 1, 2, 3, 4)


class Next(NamedTuple):
    """The trial that trains next, and its target epoch."""

    power: int
    until: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper.beta_grid", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--model", default="vgg-aib-qt", choices=[name for name in MODELS if traits(name).latent])
    parser.add_argument("--recipe", default="paper", choices=RECIPES)
    parser.add_argument(
        "--rungs",
        nargs="+",
        type=int,
        help="epochs at which half of the trials stop; default: 1/8, 1/4, 1/2 of the epochs",
    )
    paper_trial.options(parser, "runs/beta-grid")
    chosen = parser.parse_intermixed_args(arguments)
    visit = paper_trial.begin(chosen, parser)
    name = result_name("beta_grid", chosen.model, chosen.recipe, chosen.seed)
    try:
        configs = {
            power: paper_trial.paper_trial(chosen.model, chosen.recipe, chosen, **{"bottleneck.beta": 10.0**-power})
            for power in POWERS
        }
        epochs = configs[POWERS[0]].epochs
        rungs = chosen.rungs or default_rungs(epochs)
        if not rungs or sorted(set(rungs)) != list(rungs) or not 0 < rungs[0] <= rungs[-1] < epochs:
            parser.error(f"--rungs {rungs} of {epochs} epochs; allowed: one or more rising numbers below the epochs")
        folders = {power: chosen.out / name / f"p{power}" for power in POWERS}
        trials = {p: found for p, folder in folders.items() if (found := begun(configs[p], folder)) is not None}
        trained = False
        while visit.left_minutes > 0 or not trained:
            planned = next_step(histories(trials, folders, epochs), rungs, epochs)
            if planned is None:
                break
            trained = True  # Even the shortest visit trains one epoch.
            with suppress(DivergedError):  # The folder records it; the other trials continue.
                trials[planned.power] = train_further(
                    configs[planned.power], folders[planned.power], visit, planned.until
                )
    except (AIBError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    if not trials:
        print(f"{parser.prog}: no epoch of any beta was saved; the messages above say why", file=sys.stderr)
        return 1
    facts = result(name, trials, folders, rungs, epochs, chosen.quick)
    print(json.dumps({key: value for key, value in facts.items() if key != "log"}), flush=True)
    if chosen.record:
        record(facts)
    return 0


def default_rungs(epochs: int) -> list[int]:
    """25, 50 and 100 of 200 epochs: next to the epochs at which VGG's learning rate is halved."""
    return sorted({rung for rung in (epochs // 8, epochs // 4, epochs // 2) if rung > 0})


def histories(trials: Mapping[int, Trial], folders: Mapping[int, Path], epochs: int) -> dict[int, Sequence[float]]:
    """Validation error in percent after each epoch, by power. The errors of a diverged trial are infinite."""
    found: dict[int, Sequence[float]] = {p: [row["val_error_pct"] for row in t.history] for p, t in trials.items()}
    return found | {power: [math.inf] * epochs for power, folder in folders.items() if diverged(folder) is not None}


def next_step(errors_pct: Mapping[int, Sequence[float]], rungs: Sequence[int], epochs: int) -> Next | None:
    """What trains next under successive halving; None after one trial has reached the end.

    `errors_pct` comes from `histories`. At a rung the better half, rounded up, continues; from the last rung one trial
    continues. The lowest error of the epochs up to the rung decides; on a tie the smaller power wins.
    """
    alive = list(POWERS)
    for number, until in enumerate([*rungs, epochs]):
        for power in alive:
            if len(errors_pct.get(power, ())) < until:
                return Next(power, until)
        keep = 1 if number >= len(rungs) - 1 else math.ceil(len(alive) / 2)
        alive = sorted(sorted(alive, key=lambda power: (min(errors_pct[power][:until]), power))[:keep])
    return None


def result(
    name: str,
    trials: Mapping[int, Trial],
    folders: Mapping[int, Path],
    rungs: Sequence[int],
    epochs: int,
    quick: bool = False,
) -> dict[str, Any]:
    """The recorded result: every beta with its epochs so far, and the best beta beside the paper's."""
    done = next_step(histories(trials, folders, epochs), rungs, epochs) is None
    ended = {power: why for power, folder in folders.items() if (why := diverged(folder)) is not None}
    going = [power for power in trials if power not in ended] or list(trials)
    ranked = sorted(going, key=lambda power: (-trials[power].epoch, trials[power].best_row()["val_error_pct"], power))
    last = trials[ranked[0]]
    return {
        "name": name,
        "model": last.config.model.name,
        "recipe": last.config.recipe,
        "seed": last.config.seed,
        "best_beta": last.config.bottleneck.beta if done else None,
        "paper_beta": PAPER_BETA,
        "agrees": last.config.bottleneck.beta == PAPER_BETA if done else None,
        "finished": done,
        "rungs": [*rungs, epochs],
        "epochs": sum(trial.epoch for trial in trials.values()),
        "epochs_of_the_full_grid": epochs * len(POWERS),
        "seconds": sum(trial.seconds for trial in trials.values()),
        "betas": {f"{trials[power].config.bottleneck.beta:g}": _row(trials[power], rungs) for power in sorted(trials)},
        "diverged": {f"{10.0**-power:g}": why for power, why in ended.items()},
        "departures": {k: v for k, v in departures(last.config).items() if k != "bottleneck.beta"},
        "data_digest": last.state["data"]["digest"],
        "command": f"python -m benchmarks.paper.beta_grid {' '.join(sys.argv[1:])}",
        "quick": quick,
        "machine": last.visits[-1]["machine"],
        "versions": last.visits[-1]["versions"],
        "visits": {f"p{power}": trials[power].visits for power in sorted(trials)},
        "log": {f"p{power}": trials[power].history for power in sorted(trials)},
    }


def _row(trial: Trial, rungs: Sequence[int]) -> dict[str, Any]:
    best = trial.best_row()
    return {
        "epochs": trial.epoch,
        "val_error_pct": best["val_error_pct"],
        "val_error_pct_at_rungs": {str(r): trial.best_row(r)["val_error_pct"] for r in rungs if r <= trial.epoch},
        "test_error_pct": trial.history[-1]["final_test_error_pct"] if trial.finished else best["test_error_pct"],
    }


if __name__ == "__main__":
    sys.exit(main())
