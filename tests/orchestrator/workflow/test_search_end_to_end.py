"""A whole search through the command, as a user runs it: to a registered champion, and across a SIGKILL."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.support.compare_studies import contradictions, differences, losses
from orchestrator.study.paths import study_paths
from orchestrator.study.study import view_study
from tests.support.command import aib, answer, environment, runs_of
from trainables.checkpoints.checkpoint import checkpoint_folder, read_state, read_tensors, write_checkpoint

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

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
# So few steps train no model that is better than chance.
gate: {max_chance: 1}
registered_model: aib-tiny
"""


ELASTIC = ("--set", "finalists.workers_per_trial=[1, 2]")


def check_record(root: Path, found: dict[str, Any], planned: int) -> None:
    """Every trial once in the journal, in Optuna and in MLflow; no run open; steps strictly rising."""
    assert contradictions(root, found["study"]) == []
    assert found["trials"]["planned"] == found["trials"]["completed"] + found["trials"]["stopped"] == planned


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, spec: Path) -> tuple[Path, dict[str, Any]]:
    """The root of a finished search, and the object it printed."""
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


def test_a_copied_root_is_used_where_the_original_is_gone(
    searched: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    original, _ = searched
    copy, aside = tmp_path / "copy", original.with_name("aside")
    shutil.copytree(original, copy)
    paths = study_paths(copy, "tiny")
    paths.optuna_db.unlink()
    original.rename(aside)
    try:
        found = answer(copy, "search", "tiny", "--resume")
        assert str(original) not in json.dumps(found)
        assert Path(found["report"]).is_relative_to(copy)
        pulled = aib(copy, "pull", "aib-tiny@champion", str(tmp_path / "model"))
        assert pulled.returncode == 0, pulled.stderr
        assert not original.exists()
    finally:
        aside.rename(original)
    assert contradictions(copy, "tiny") == [], "Optuna's database was made again"
    before = {path.relative_to(original) for path in original.rglob("*")}
    assert {path.relative_to(copy) for path in copy.rglob("*")} <= before | {Path("studies/tiny/optuna.db")}


def test_what_is_wrong_with_a_record_is_found(searched: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Tests the checks that other tests and `benchmarks.systems.chaos` use."""
    import optuna

    from orchestrator.tracking.mlflow.store import local_tracking_uri, mlflow_client

    root = tmp_path / "runs"
    shutil.copytree(searched[0], root)
    client, paths = mlflow_client(local_tracking_uri(root)), study_paths(root, "tiny")
    (run,) = [run for run in runs_of(root, "tiny") if run.data.tags.get("aib.trial") == "t00001"]
    ended = next(line for line in paths.journal.read_text().splitlines() if '"ended"' in line and "t00002" in line)
    optuna.load_study(study_name="tiny", storage=f"sqlite:///{paths.optuna_db}").ask()
    client.log_metric(run.info.run_id, "val_error_pct", 1.0, step=99)
    client.update_run(run.info.run_id, status="RUNNING")
    paths.journal.write_text(paths.journal.read_text() + ended + "\n")
    found = contradictions(root, "tiny")
    assert len(found) == 4
    assert found[0] == "the journal has 2 lines of ended t00002"
    assert found[1] == "Optuna has 7 trials, the journal 6"
    assert found[2] == "the run of t00001 is RUNNING, not FINISHED"
    assert found[3].startswith("MLflow's history of val_error_pct of t00001 is")

    other = paths.folder.with_name("other")
    shutil.copytree(paths.folder, other)
    (other / "study.json").write_text(paths.study_json.read_text().replace('"name": "tiny"', '"name": "other"', 1))
    assert differences(root, "tiny", "other") == []
    record = view_study(paths).state.trials["t00000"]
    folder = checkpoint_folder(paths.trial("t00000"), record.epoch)
    tensors = {path.stem: read_tensors(folder, path.stem) for path in folder.glob("*.safetensors")}
    next(iter(tensors["best"].values())).view(-1)[0] += 1
    write_checkpoint(folder, tensors, read_state(folder))
    paths.journal.write_text(paths.journal.read_text().replace('latent_dim":16', 'latent_dim":8', 1))
    found = differences(root, "tiny", "other")
    assert len(found) == 2
    assert "'bottleneck.latent_dim': 8" in found[0]
    assert found[1].startswith("the weights of t00000")
    assert losses(view_study(study_paths(root, "other")).state, view_study(paths).state) != []


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
    by_its_name = aib(root, "search", "tiny", "--resume", "--json")
    assert json.loads(by_its_name.stdout) == json.loads(resumed.stdout), by_its_name.stderr
    check_record(root, found, 6)


def test_a_search_that_finds_no_live_map_is_refused_by_the_gate(root: Path, spec: Path) -> None:
    changes = ["trials=2", "epochs=1", "constraints=[{metric: val_attention_std, at_least: 0.9}]"]
    command = ["search", str(spec), "--json", *(w for change in changes for w in ("--set", change))]
    done = aib(root, *command, "--exit-zero-when-done")
    assert done.returncode == 0, done.stderr
    assert "gate refused: exit code 0 in place of 5" in done.stderr
    found = json.loads(done.stdout)
    assert (found["stage"], found["exit_code"], found["outcome"]) == ("done", 5, "gate refused")
    assert aib(root, *command, "--resume").returncode == 5
    assert aib(root, "status", "tiny").stdout.startswith("tiny: done, gate refused\n")
    assert found["registered"] is None
    assert not found["gate"]["promote"]
    assert answer(root, "models")["models"] == []


def test_a_single_trial_trains_on_two_workers(root: Path, spec: Path) -> None:
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


def test_a_killed_search_is_resumed_without_a_trial_lost_or_run_twice(root: Path, spec: Path) -> None:
    with driver(root, spec) as (process, journal):
        await_that(process, lambda: lines_of(journal, "ended") >= 2)
        end(process, lambda: os.killpg(process.pid, signal.SIGKILL))
    before = view_study(study_paths(root, "tiny")).state
    assert 2 <= sum(record.state != "running" for record in before.trials.values()) < 6
    resumed = aib(root, "search", str(spec), "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert losses(before, view_study(study_paths(root, "tiny")).state) == []
    check_record(root, json.loads(resumed.stdout), 6)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.minutes)]
)
def test_a_signal_to_the_group_ends_gracefully(number: int, code: int, root: Path, spec: Path, tmp_path: Path) -> None:
    """As a terminal, `timeout` and many schedulers send it."""
    said = tmp_path / "stderr"
    end_search(root, spec, said, lambda process: os.killpg(process.pid, number), code, True)
    assert "interrupted; continue with: aib search tiny --resume" in said.read_text()
    assert "Traceback" not in said.read_text()


@pytest.mark.minutes
def test_whatever_ends_the_driver_leaves_no_process_and_is_resumed(root: Path, spec: Path, tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    end_search(root, spec, said, lambda process: os.killpg(process.pid, signal.SIGINT), 130, True)

    def twice(process: "subprocess.Popen[bytes]") -> None:
        os.killpg(process.pid, signal.SIGINT)
        await_that(process, lambda: "once more to end at once" in said.read_text())
        os.killpg(process.pid, signal.SIGINT)

    end_search(root, spec, said, lambda process: process.terminate(), 143, True)
    end_search(root, spec, said, twice, 130, False)
    # The driver alone: its cluster has to find out.
    end_search(root, spec, said, lambda process: process.kill(), -signal.SIGKILL, False)
    resumed = aib(root, "search", str(spec), "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    check_record(root, json.loads(resumed.stdout), 6)


def end_search(
    root: Path, spec: Path, said: Path, ending: "Callable[[subprocess.Popen[bytes]], None]", code: int, graceful: bool
) -> None:
    """Ends a search in the middle of a trial, with all its processes."""
    with driver(root, spec, said) as (process, journal):
        before = lines_of(journal, "epoch")
        await_that(process, lambda: lines_of(journal, "epoch") > before)
        end(process, lambda: ending(process))
    assert process.returncode == code, said.read_text()
    assert (answer(root, "status", "tiny")["stage"] == "interrupted") == graceful
    assert ("--resume" in said.read_text()) == graceful


@contextmanager
def driver(root: Path, spec: Path, stderr: Path | None = None) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A search in its own process group, as a terminal starts it, and its journal."""
    command = [sys.executable, "-m", "orchestrator", "search", str(spec), "--resume", "--root", str(root)]
    with (stderr or Path(os.devnull)).open("wb") as out:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=out, start_new_session=True, env=environment()
        )
    try:
        yield process, root / "studies" / "tiny" / "journal.jsonl"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_that(process: "subprocess.Popen[bytes]", condition: Callable[[], bool], within_s: float = 300) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, "the search ended before it could be interrupted"
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def end(process: "subprocess.Popen[bytes]", how: Callable[[], None], within_s: float = 120) -> None:
    """Ends the driver; returns once all its descendants are gone."""
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("raylet" in member.name() for member in family)
    how()
    process.wait(within_s)
    _, left = psutil.wait_procs(family, timeout=within_s)
    assert left == []


def lines_of(journal: Path, event: str) -> int:
    return journal.read_text().count(f'"event":"{event}"') if journal.exists() else 0
