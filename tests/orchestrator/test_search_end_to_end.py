"""A whole search through the command, as a user runs it: to a registered champion, and across a SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.command import aib, answer, environment, runs_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SPEC = """
name: tiny
trial:
  model: vgg-aib-qt
  model.width: 0.0625
  dataset: cluttered-digits
  epochs: 3
  data: {image_size: 16, train_images: 200, val_images: 60, test_images: 60, crop_padding: 1}
  optim: {batch_size: 32, lr: 0.02}
  evaluation: {interp_images: 30, occluder_dataset: cluttered-digits, attention_samples: 2, latent_samples: 2}
space:
  bottleneck.beta: {power_of_ten: [1, 2, 3, 4]}
  bottleneck.latent_dim: {choice: [8, 16]}
first: [{bottleneck.beta: 0.001, bottleneck.latent_dim: 16}]
scheduler: {name: asha, grace_epochs: 1, reduction_factor: 2}
trials: 6
finalists: {top: 1, seeds: 2}
registered_model: aib-tiny
"""


ELASTIC = ("--set", "finalists.workers_per_trial=[1, 2]")


def check_record(root: Path, found: dict[str, Any], planned: int) -> None:
    """Every trial once in the journal, in Optuna and in MLflow; no run open; steps strictly rising."""
    import optuna

    from orchestrator.tracking.mlflow_store import local_tracking_uri, mlflow_client

    trials = [row for row in answer(root, "trials", found["study"])["trials"] if row["kind"] == "search"]
    assert sorted(row["trial"] for row in trials) == [f"t{i:05d}" for i in range(planned)]
    assert {row["state"] for row in trials} <= {"completed", "stopped"}
    optuna_db = root / "studies" / found["study"] / "optuna.db"
    study = optuna.load_study(study_name=found["study"], storage=f"sqlite:///{optuna_db}")
    assert len(study.trials) == planned
    assert all(trial.state.is_finished() for trial in study.trials)
    runs = runs_of(root, found["study"])
    names = [run.data.tags.get("aib.trial", "parent") for run in runs]
    assert len(names) == len(set(names)) == 1 + planned + len(found["finalists"][0]["trials"])
    assert all(run.info.status == "FINISHED" for run in runs)
    client = mlflow_client(local_tracking_uri(root))
    for run in runs:
        if "aib.trial" in run.data.tags:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, "val_error_pct")]
            assert steps == list(range(1, len(steps) + 1)), run.data.tags["aib.trial"]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, spec: Path) -> tuple[Path, dict[str, Any]]:
    """The root of a finished search, and what it printed."""
    root = tmp_path_factory.mktemp("searched") / "runs"
    done = aib(root, "search", str(spec), *ELASTIC, "--json")
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout)


def test_a_search_ends_with_a_registered_champion(searched: tuple[Path, dict[str, Any]]) -> None:
    root, found = searched
    assert {"study", "spec_signature", "trials", "best", "finalists", "mlflow", "registered", "report"} <= set(found)
    assert found["trials"]["planned"] == 6
    assert found["trials"]["stopped"] >= 1
    assert found["trials"]["completed"] >= 1
    registered = found["registered"]
    assert (registered["name"], registered["version"], registered["alias"]) == ("aib-tiny", "1", "champion")
    assert set(found["mlflow"]) == {"tracking_uri", "experiment_id", "run_id"}
    assert found["mlflow"]["run_id"] in {run.info.run_id for run in runs_of(root, "tiny")}
    assert Path(found["report"]).is_file()
    check_record(root, found, 6)


def test_finalists_are_retrained_on_all_workers_that_there_are(searched: tuple[Path, dict[str, Any]]) -> None:
    root, _ = searched
    workers = {(row["kind"], row["metrics"]["num_workers"]) for row in answer(root, "trials", "tiny")["trials"]}
    assert workers == {("search", 1), ("finalist", 2)}


def test_the_champion_reproduces_its_recorded_test_error(searched: tuple[Path, dict[str, Any]]) -> None:
    root, found = searched
    evaluated = answer(root, "evaluate", "models:/aib-tiny@champion")
    trials = {row["trial"]: row for row in answer(root, "trials", "tiny")["trials"]}
    recorded = [trials[name]["metrics"]["final_test_error_pct"] for name in found["finalists"][0]["trials"]]
    assert evaluated["metrics"]["test_error_pct"] in recorded


def test_promoting_again_keeps_the_champion_it_equals(searched: tuple[Path, dict[str, Any]]) -> None:
    root, found = searched
    done = aib(root, "promote", "tiny", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert {reason["rule"] for reason in again["gate"]["reasons"]} >= {"error", "interpretability", "reload", "alive"}
    assert again["registered"] == found["registered"]


def test_pull_and_predict_from_the_registry(searched: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, _ = searched
    pulled = answer(root, "pull", "aib-tiny@champion", str(tmp_path / "model"))
    assert set(pulled["files"]) == {"README.md", "config.json", "manifest.json", "model.safetensors"}
    shown = answer(
        root, "data", "show", "cluttered-digits", "--image-size", "16", "--save", str(tmp_path), "--count", "2"
    )
    predicted = answer(root, "predict", "aib-tiny@champion", *shown["saved"], "--out", str(tmp_path / "out"))
    assert (predicted["model"], predicted["version"]) == ("aib-tiny", "1")
    for prediction in predicted["predictions"]:
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert Path(prediction["attention_png"]).read_bytes().startswith(b"\x89PNG")


def test_the_same_name_again_is_refused_and_resume_of_a_finished_study_changes_nothing(
    searched: tuple[Path, dict[str, Any]], spec: Path
) -> None:
    root, found = searched
    again = aib(root, "search", str(spec), *ELASTIC)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    other = aib(root, "search", str(spec), *ELASTIC, "--resume", "--set", "trials=9")
    assert other.returncode == 2
    assert "trials" in other.stderr
    resumed = aib(root, "search", str(spec), *ELASTIC, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["registered"] == found["registered"]
    check_record(root, found, 6)


def test_a_search_that_finds_no_live_map_is_refused_by_the_gate(tmp_path: Path, spec: Path) -> None:
    changes = ["trials=2", "epochs=1", "constraints=[{metric: val_attention_std, at_least: 0.9}]"]
    done = aib(tmp_path / "runs", "search", str(spec), "--json", *(w for change in changes for w in ("--set", change)))
    assert done.returncode == 5, done.stderr
    found = json.loads(done.stdout)
    assert found["registered"] is None
    assert not found["gate"]["promote"]
    assert answer(tmp_path / "runs", "models")["models"] == []


def test_a_single_trial_trains_on_two_workers(tmp_path: Path, spec: Path) -> None:
    root = tmp_path / "runs"
    done = aib(root, "train", str(spec), "--set", "resources.workers_per_trial=2", "--set", "epochs=2", "--json")
    assert done.returncode == 0, done.stderr
    (trial,) = answer(root, "trials", "tiny-train")["trials"]
    assert (trial["kind"], trial["state"], trial["epoch"]) == ("train", "completed", 2)
    state = json.loads(next((root / "studies/tiny-train/trials/train/checkpoints").glob("*2/state.json")).read_text())
    assert state["fingerprint"]["world_size"] == 2
    assert state["config"]["bottleneck.beta"] == 0.001, "the spec's first point fixes what its space leaves open"
    status = answer(root, "status", "tiny-train")
    assert (status["trials"]["planned"], status["trials"]["completed"]) == (1, 1)
    assert status["best"]["trial"] == "train"


def test_a_killed_search_is_resumed_without_a_trial_lost_or_run_twice(tmp_path: Path, spec: Path) -> None:
    root = tmp_path / "runs"
    journal = root / "studies" / "tiny" / "journal.jsonl"
    driver = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "search", str(spec), "--root", str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(),
    )
    try:
        deadline = time.monotonic() + 180
        while ended_in(journal) < 2 and time.monotonic() < deadline:
            assert driver.poll() is None, "the search ended before it could be killed"
            time.sleep(0.05)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    before = {row["trial"]: row for row in answer(root, "trials", "tiny")["trials"]}
    finished = {name: row for name, row in before.items() if row["state"] != "running"}
    assert 2 <= len(finished) < 6
    resumed = aib(root, "search", str(spec), "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    after = {row["trial"]: row for row in answer(root, "trials", "tiny")["trials"]}
    assert {name: after[name] for name in finished} == finished
    for name, row in before.items():
        assert after[name]["params"] == row["params"]
    check_record(root, json.loads(resumed.stdout), 6)


def test_ctrl_c_ends_gracefully_and_can_be_resumed(tmp_path: Path, spec: Path) -> None:
    root = tmp_path / "runs"
    journal = root / "studies" / "tiny" / "journal.jsonl"
    driver = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "search", str(spec), "--root", str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )
    deadline = time.monotonic() + 180
    while ended_in(journal) < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=90)
    assert driver.returncode == 130, said
    assert "--resume" in said
    assert answer(root, "status", "tiny")["stage"] == "interrupted"
    resumed = aib(root, "search", str(spec), "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    check_record(root, json.loads(resumed.stdout), 6)


def ended_in(journal: Path) -> int:
    return journal.read_text().count('"event":"ended"') if journal.exists() else 0
