"""Successive halving of the beta grid, on given numbers and on tiny trials over several visits."""

import json
import math
from pathlib import Path

import pytest

from benchmarks.paper.beta_grid import POWERS, Next, default_rungs, next_step
from benchmarks.support.small_data import random_store
from tests.support.benchmark_script import start

RUNGS = [2, 4, 6]


def test_every_beta_reaches_the_first_rung_before_one_goes_on() -> None:
    errors_pct = {0: [50.0, 40.0], 1: [50.0, 30.0], 2: [50.0]}
    assert next_step(errors_pct, RUNGS, 8) == Next(2, 2)
    assert next_step({**errors_pct, 2: [50.0, 20.0], 3: [50.0, 60.0]}, RUNGS, 8) == Next(4, 2)


def test_the_better_half_goes_on_and_one_to_the_end() -> None:
    at_2 = {0: [9.0, 5.0], 1: [9.0, 4.0], 2: [9.0, 1.0], 3: [2.0, 9.0], 4: [9.0, 8.0]}
    assert next_step(at_2, RUNGS, 8) == Next(1, 4)
    at_4 = {**at_2, 1: [9.0, 4.0, 4.0, 4.0], 2: [9.0, 1.0, 1.0, 1.0], 3: [2.0, 9.0, 9.0, 0.5]}
    assert next_step(at_4, RUNGS, 8) == Next(2, 6), "3 and 2 are the better half of three, rounded up"
    at_6 = {**at_4, 2: [*at_4[2], 1.0, 0.1], 3: [*at_4[3], 9.0, 9.0]}
    assert next_step(at_6, RUNGS, 8) == Next(2, 8)
    assert next_step({**at_6, 2: [*at_6[2], 7.0, 7.0]}, RUNGS, 8) is None


def test_what_was_trained_further_counts_only_up_to_the_rung() -> None:
    errors_pct = {0: [1.0, 1.0], 1: [2.0, 2.0], 2: [3.0, 3.0], 3: [4.0, 4.0], 4: [9.0, 9.0, 0.0, 0.0]}
    assert next_step(errors_pct, RUNGS, 8) == Next(0, 4)
    assert next_step({**errors_pct, 0: [1.0] * 4, 1: [2.0] * 4}, RUNGS, 8) == Next(2, 4)


def test_a_beta_that_diverged_is_left_behind() -> None:
    errors_pct = {power: [10.0 + power, 10.0 + power] for power in POWERS} | {0: [math.inf] * 8}
    assert next_step(errors_pct, RUNGS, 8) == Next(1, 4)


def test_the_rungs_of_200_epochs() -> None:
    assert default_rungs(200) == [25, 50, 100]
    assert default_rungs(2) == [1]


@pytest.mark.slow
@pytest.mark.minutes
@pytest.mark.timeout(1800)
def test_a_grid_ends_over_visits_with_one_beta_trained_in_full(tmp_path: Path) -> None:
    random_store(tmp_path / "data", "cifar10", 400, 100)
    random_store(tmp_path / "data", "svhn", 60, 30)
    where = ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "grid"), "--quick"]
    first = start("paper.beta_grid", *where, "--minutes", "0")
    assert first.returncode == 0, first.stderr[-4000:]
    found = json.loads(first.stdout)
    assert (found["finished"], found["best_beta"], found["epochs"]) == (False, None, 1)
    last = start("paper.beta_grid", *where, "--minutes", "30", timeout_s=1500)
    assert last.returncode == 0, last.stderr[-4000:]
    found = json.loads(last.stdout)
    assert found["finished"] is True
    assert found["epochs"] == len(POWERS) + 1
    assert [row["epochs"] for row in found["betas"].values()].count(2) == 1
    assert found["betas"][f"{found['best_beta']:g}"]["epochs"] == 2
    assert "svhn" not in json.dumps(found["departures"]), "the paper's occluder is prepared"
