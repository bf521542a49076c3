"""The end of a study while the tracking store is away, and what a resume of the finished study then sends."""

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
from rich.console import Console

from orchestrator.checks.data import check_data
from orchestrator.cli.app import main
from orchestrator.planning.trials import resolve_trial
from orchestrator.study.journal import TrialRecord
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.study import open_study, view_study
from orchestrator.tracking import open_recorder
from orchestrator.tracking.mlflow.store import local_tracking_uri
from orchestrator.tracking.open_recorder import open_record
from orchestrator.tracking.tracker import Tracker
from search_spaces.schema import SearchSpec, load_spec
from tests.orchestrator.registry.conftest import SIZE, export_tiny
from tests.orchestrator.workflow.test_search_end_to_end import SPEC
from tests.support.mlflow_reader import read_runs
from tests.support.some_study import write_trial
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.data.arrow_store import open_store

pytestmark = pytest.mark.slow


PARAMS = {"bottleneck.beta": 0.001, "bottleneck.latent_dim": 16}
"""A point of the search's space."""


class Ended(NamedTuple):
    spec_file: Path
    spec: SearchSpec
    paths: StudyPaths


@pytest.fixture
def ended(tmp_path: Path, digits_root: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """A finished study: two trials, two seeds of one of them, and a model that passed the gate."""
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "AIB_ROOT"):
        monkeypatch.delenv(name, raising=False)
    assert store_uri == local_tracking_uri(tmp_path)
    (tmp_path / "data").symlink_to(digits_root)
    file = tmp_path / "tiny.yaml"
    file.write_text(SPEC.replace("trials: 6", "trials: 2"))
    spec, paths = load_spec(file, []), study_paths(tmp_path, "tiny")
    with open_study(spec, paths, False, {"data": {"name": "cluttered-digits", "digest": "0"}}) as study:
        write_trial(study.journal, study.storage, "t00000", 20.0, "completed", epochs=3, params=PARAMS)
        write_trial(study.journal, study.storage, "t00001", 40.0, "stopped", epochs=3, params=PARAMS)
        for seed in (1, 2):
            trial = f"f00000-seed{seed}"
            write_trial(
                study.journal, study.storage, trial, 20.0 + seed, "completed", epochs=3, kind="finalist", of="t00000"
            )
        study.journal.append("gate", decision={"promote": True, "reasons": []})
        version = {"name": "aib-tiny", "version": "1", "alias": "champion", "trial": "f00000-seed1", "run_id": "0"}
        study.journal.append("registered", version=version)
        study.journal.append("stage", stage="done")
    classes = open_store(digits_root, "cluttered-digits", SIZE).class_names
    export_tiny(paths.folder / "export", classes=classes)
    return Ended(file, spec, paths)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main([*arguments])
    return int(leaving.value.code or 0)


def test_the_end_says_what_waits_and_a_resume_of_the_finished_study_sends_it(
    ended: Ended, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program locks the store from before the last epochs until after the end."""
    monkeypatch.setattr(open_recorder, "FLUSH_S", 0.5)
    spec, paths = ended.spec, ended.paths
    text = StringIO()
    console = Console(file=text, soft_wrap=True)
    locker = sqlite3.connect(paths.mlflow_db, isolation_level=None)
    with ExitStack() as stack:
        study = stack.enter_context(open_study(spec, paths, True, {}))
        recorder = open_record(stack, study, None, check_data(spec, paths.data, console), console)
        assert recorder.tracker.flush(60) == 0
        locker.execute("BEGIN EXCLUSIVE")
        config = resolve_trial(spec, {})
        recorder.trial_started("t00002", "search", PARAMS, config)
        for epoch in (1, 2):
            recorder.epoch("t00002", {"epoch": epoch, "val_error_pct": 50.0 - epoch, "val_nll": 1.0})
        recorder.trial_ended("t00002", "stopped")
    locker.execute("ROLLBACK")
    locker.close()
    said = text.getvalue()
    assert "5 records wait on disk for the tracking server" in said
    assert "the same command with --resume sends them" in said
    # The request that waited for the lock succeeds; then its thread ends.
    for thread in threading.enumerate():
        if thread.name == "tracking-delivery":
            thread.join(60)
    assert not read_runs(local_tracking_uri(paths.root), "tiny")["t00002"]["history"]

    monkeypatch.setattr(open_recorder, "FLUSH_S", 120.0)
    again = run("search", str(ended.spec_file), "--resume", "--json", "--root", str(paths.root))
    shown = capsys.readouterr()
    assert again == 0, shown.err
    assert "wait on disk" not in shown.err
    assert json.loads(shown.out)["stage"] == "done"
    runs = read_runs(local_tracking_uri(paths.root), "tiny")
    assert runs["t00002"]["history"]["val_error_pct"] == [(1, 49.0), (2, 48.0)]
    assert (runs["t00002"]["status"], runs[None]["status"]) == ("FINISHED", "FINISHED")
    assert {"report/report.html", "report/report.md", "report/trials.csv"} <= set(runs[None]["files"])
    assert not list(paths.spool.glob("[0-9]*.jsonl"))


def test_fields_that_a_later_version_added_refuse_no_record_of_an_earlier_study(
    ended: Ended, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = json.loads(ended.paths.study_json.read_text())
    del stored["spec"]["gate"]["max_chance"]
    ended.paths.study_json.write_text(json.dumps(stored))
    resume = ("search", "tiny", "--resume", "--root", str(ended.paths.root))
    assert run(*resume) == 0
    recorded = read_runs(local_tracking_uri(ended.paths.root), "tiny")[None]["params"]["gate"]
    assert "max_chance" not in recorded
    assert "min_attention_std" in recorded
    assert run(*resume) == 0
    assert "refused" not in capsys.readouterr().err


def test_a_finished_study_that_was_collected_is_still_read_by_everything(
    ended: Ended, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ("--root", str(ended.paths.root))
    assert run("report", "tiny", *root) == 0
    before = {path.name: path.read_bytes() for path in ended.paths.report.iterdir()}
    capsys.readouterr()
    assert run("gc", "tiny", "--json", *root) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["trial"] for one in found["kept"]} == {"f00000-seed1", "f00000-seed2"}
    assert found["bytes"] > 0
    assert run("report", "tiny", *root) == 0
    assert {path.name: path.read_bytes() for path in ended.paths.report.iterdir()} == before
    assert run("evaluate", "tiny", "--dataset", "cluttered-digits", *root) == 0, capsys.readouterr().err
    for verb in ("status", "trials", "best", "pareto"):
        assert run(verb, "tiny", *root) == 0
    assert run("search", str(ended.spec_file), "--resume", *root) == 0, capsys.readouterr().err
    assert view_study(ended.paths).state.stage == "done"


def test_a_finished_study_s_optuna_database_is_made_again_on_resume(
    ended: Ended, empty_mlflow_db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resume, database = ("search", "tiny", "--resume", "--root", str(ended.paths.root)), ended.paths.optuna_db
    assert run(*resume) == 0, capsys.readouterr().err
    whole, replaced = told(database), ended.paths.folder / "optuna.db.replaced"
    assert [trial["state"].name for trial in whole] == ["COMPLETE", "PRUNED"]
    damages: dict[str, Callable[[], object]] = {
        "lost": database.unlink,
        "torn": lambda: os.truncate(database, database.stat().st_size // 2),
        "another program's": lambda: shutil.copyfile(empty_mlflow_db, database),
    }
    for name, damage in damages.items():
        damage()
        assert run(*resume) == 0, (name, capsys.readouterr().err)
        assert told(database) == whole, name
        assert replaced.exists() == (name != "lost")


def told(database: Path) -> list[dict[str, Any]]:
    """What Optuna has of each trial of the study, without times."""
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{database}")
    names = ("number", "state", "params", "values", "intermediate_values", "constraints")
    return [{name: getattr(trial, name) for name in names} for trial in study.get_trials()]


def test_trials_that_a_driver_leaves_unfinished_are_closed_as_killed_and_go_on_as_the_same_runs(ended: Ended) -> None:
    spec, paths, console = ended.spec, ended.paths, Console(file=StringIO())

    def one_driver(epoch: int, ends: bool) -> dict[str, Any]:
        with ExitStack() as stack:
            study = stack.enter_context(open_study(spec, paths, True, {}))
            recorder = open_record(stack, study, None, check_data(spec, paths.data, console), console)
            recorder.trial_started("t00002", "search", PARAMS, resolve_trial(spec, {}))
            recorder.epoch("t00002", {"epoch": epoch, "val_error_pct": 50.0 - epoch, "val_nll": 1.0})
            if ends:
                recorder.trial_ended("t00002", "stopped")
        return read_runs(local_tracking_uri(paths.root), "tiny")["t00002"]

    first = one_driver(1, ends=False)
    assert (first["status"], first["tags"]["aib.state"]) == ("KILLED", "interrupted")
    second = one_driver(2, ends=True)
    assert (second["id"], second["status"], second["tags"]["aib.state"]) == (first["id"], "FINISHED", "stopped")
    assert second["history"]["val_error_pct"] == [(1, 49.0), (2, 48.0)]


def test_an_end_that_cannot_be_recorded_ends_the_search_and_leaves_its_run_closed(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search raises the error of the background thread, and its run ends as failed."""

    def fails(tracker: Tracker, checkpoints: CheckpointStore, record: TrialRecord) -> bool:
        if record.trial == "t00002":
            raise ValueError(f"no figure of {record.trial}")
        return True

    monkeypatch.setattr(open_recorder, "log_trial_artifacts", fails)

    def one_trial_ends() -> None:
        spec, paths, console = ended.spec, ended.paths, Console(file=StringIO())
        with ExitStack() as stack:
            study = stack.enter_context(open_study(spec, paths, True, {}))
            recorder = open_record(stack, study, None, check_data(spec, paths.data, console), console)
            recorder.trial_started("t00002", "search", PARAMS, resolve_trial(spec, {}))
            recorder.trial_ended("t00002", "stopped")
            recorder.stage("finalists")

    with pytest.raises(ValueError, match="no figure of t00002"):
        one_trial_ends()
    assert read_runs(local_tracking_uri(ended.paths.root), "tiny")[None]["status"] == "FAILED"
