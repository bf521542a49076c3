"""Training in visits and scores at three thresholds, with tiny trials on random pixels and on real CIFAR-10."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.paper import reproduce
from benchmarks.paper.table2_thresholds import correlation, result, scores
from benchmarks.paper.visit import DIVERGED, VISITS, Trial, Visit, read_trial, train_further
from benchmarks.support.small_data import random_store
from tests.support.benchmark_script import ROOT, start
from trainables.config.trial import TrialConfig
from trainables.errors import DivergedError
from trainables.metrics import INTERP_CURVE, INTERP_READINGS, MODIFICATIONS, interp_metric

NAME = "reproduce_cifar10_vgg_aib_qt"
VISIT = Visit(data_root=Path("none"), sources={}, minutes=0, save_every=1, started_s=0)


@pytest.mark.slow
def test_a_trial_over_two_visits_gives_one_result_and_its_thresholds(tmp_path: Path) -> None:
    random_store(tmp_path / "data", "cifar10", 400, 100)
    random_store(tmp_path / "data", "svhn", 60, 30)
    command = ["paper.reproduce", "--quick", "--models", "vgg-aib-qt", "--minutes", "0", "--out", str(tmp_path / "out")]
    command += ["--data-root", str(tmp_path / "data")]
    visits = []
    for _ in range(2):
        done = start(*command)
        assert done.returncode == 0, done.stderr[-4000:]
        visits.append(json.loads(done.stdout))
    first, second = visits
    assert (first["epochs"], first["finished"], second["epochs"], second["finished"]) == (1, False, 2, True)
    assert second["name"] == NAME
    assert second["difference"] == pytest.approx(second["test_error_pct"] - 4.10)
    assert [visit["epochs"] for visit in second["visits"]] == [[1, 1], [2, 2]]
    assert second["seconds"] == pytest.approx(sum(visit["seconds"] for visit in second["visits"]))
    epochs_s = [seconds for visit in second["visits"] for seconds in visit["epoch_seconds"]]
    assert len(epochs_s) == 2
    assert second["extrapolated_seconds_of_200_epochs"] == pytest.approx(200 * sum(epochs_s) / 2)
    assert second["departures"]["model.width"] == 0.0625
    assert not any(key.startswith("evaluation.occluder") for key in second["departures"])
    trial = read_trial(tmp_path / "out" / NAME)
    assert trial is not None
    stored = scores(trial, tmp_path / "data")
    unfinished = trial._replace(state={**trial.state, "epoch": 1})
    assert scores(unfinished, tmp_path / "data") == stored, "taken again of the best weights"
    found = result({NAME: (trial, stored)})
    assert len(found["compared"]) == len(INTERP_READINGS) * len(INTERP_CURVE)
    assert found["trials"][NAME]["paper_pct"]["interp_color_p4"] == 99.26
    _other_values_and_divergence_are_refused(trial, command)


def _other_values_and_divergence_are_refused(trial: Trial, command: list[str]) -> None:
    other = start(*command, "optim.lr=0.02", "epochs=3")
    assert (other.returncode, other.stdout) == (1, "")
    assert "other values of epochs, optim.lr;" in other.stderr
    (trial.folder / DIVERGED).write_text(json.dumps({"diverged": "the loss is not finite."}))
    with pytest.raises(DivergedError, match=r"not finite.*remove"):
        train_further(trial.config, trial.folder, VISIT)


def test_a_first_epoch_that_compiles_is_not_multiplied_by_200(tmp_path: Path) -> None:
    visit = {"seconds": 150.0, "epochs": [1, 5], "epoch_seconds": [60.0, 3.0, 3.5, 2.5, 81.0], "machine": {}}
    (tmp_path / VISITS).write_text(json.dumps([{**visit, "versions": {}}]))
    row = {"val_error_pct": 9.0, "val_nll": 1.0, "test_error_pct": 9.0, "epoch": 5.0, "images_per_s": 1.0}
    state = {"epoch": 5, "history": [row], "data": {"digest": ""}}
    trial = Trial(TrialConfig.from_dict({"model": "vgg-aib", "dataset": "cifar10"}), state, tmp_path, tmp_path)
    found = reproduce.result("short", trial)
    assert (found["seconds_per_epoch"], found["extrapolated_seconds_of_200_epochs"]) == (30.0, 700.0)


@pytest.mark.slow
def test_the_scripts_for_a_gpu_need_neither_ray_nor_optuna_nor_mlflow() -> None:
    absent = "ray", "optuna", "mlflow", "pydantic", "typer", "rich", "yaml"
    scripts = "paper.reproduce", "paper.beta_grid", "paper.table2_thresholds", "systems.gpu_step"
    code = (
        f"import sys; sys.modules |= dict.fromkeys({absent!r}); import {', '.join(f'benchmarks.{s}' for s in scripts)}"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_closest_column_is_the_one_of_the_papers_shape() -> None:
    rising = [float(n) for n in range(10)]
    assert correlation(rising, [2 * value + 5 for value in rising]) == pytest.approx(1)
    assert correlation(rising, list(reversed(rising))) == pytest.approx(-1)
    assert correlation(rising, [100.0] * 10) is None


def test_a_column_like_the_papers_is_found(tmp_path: Path) -> None:
    from benchmarks.paper.paper_trial import DATASET
    from trainables.paper.published import published_interpretability_pct

    config = TrialConfig.from_dict({"model": "vgg-aib", "dataset": DATASET})
    trial = Trial(config, {"epoch": 200, "history": []}, tmp_path, tmp_path)
    published = published_interpretability_pct("vgg-aib", DATASET)
    values = {
        interp_metric(name, reading, quantity): (
            published.get(name, 0.0) / 2 if (reading, quantity) == ("centered", "t85_pct") else 100.0
        )
        for name in (*MODIFICATIONS, "interp_chance")
        for reading in INTERP_READINGS
        for quantity in INTERP_CURVE
    }
    found = result({"vgg-aib": (trial, values)})
    assert (found["closest_in_shape"]["reading"], found["closest_in_shape"]["threshold"]) == ("centered", 0.85)
    assert found["closest_in_points"]["reading"] == "minmax"


@pytest.mark.slow
@pytest.mark.minutes
@pytest.mark.timeout(1800)
def test_cifar10_parquet_is_prepared_by_the_first_visit(tmp_path: Path) -> None:
    if "AIB_TEST_DATA" not in os.environ:
        pytest.skip("AIB_TEST_DATA names no folder of real images")
    real = Path(os.environ["AIB_TEST_DATA"])
    where = ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    given = ["--from", str(real / "cifar10"), "--svhn", str(real / "svhn"), "--quick", "--minutes", "20"]
    done = start("paper.reproduce", *where, *given, "--models", "vgg-aib", "vgg", timeout_s=1500)
    assert done.returncode == 0, done.stderr[-4000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["model"], one["finished"]) for one in found] == [("vgg-aib", True), ("vgg", True)]
    assert found[0]["data_digest"] == found[1]["data_digest"]
    assert not any("occluder" in key for one in found for key in one["departures"]), "SVHN is prepared"
