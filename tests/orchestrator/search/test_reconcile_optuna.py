"""After a loss Optuna and the tracking store agree with the journal, and the search continues exactly."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator.search import optuna_study
from orchestrator.search.reconcile_optuna import reap, reconcile_optuna
from orchestrator.study.journal import Journal
from orchestrator.tracking.reconcile_store import reconcile_store
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput, OpenStudy
from tests.orchestrator.search.test_searcher import Search, params_of, spec
from tests.support.recording_tracker import RecordingTracker
from trainables.config.trial import TrialConfig
from trainables.errors import AIBError

CONSTRAINED = spec(constraints=[{"metric": "val_nll", "at_most": 2.0}], sampler={"name": "tpe", "seed": 3})


def lose(database: Path) -> None:
    database.unlink()


def tear(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2)


def overwrite(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(b"not a database")


def empty(database: Path) -> None:
    database.write_bytes(b"")


def go_back(database: Path) -> None:
    shutil.copyfile(database.with_name("older"), database)


def end_what_runs(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE trials SET state = 'FAIL' WHERE state = 'RUNNING'")


def change_a_parameter(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE trial_params SET param_value = 0.06 WHERE param_name = 'attention.lambda_q'")


def name_constraints_by_their_metric(database: Path) -> None:
    """Names constraints as earlier versions did; a study may hold such trials."""
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE trial_system_attributes SET key = 'constraints:val_nll' WHERE key LIKE 'constraints:%'"
        )


def drop_a_column(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE trials DROP COLUMN datetime_start")


def write_by_another_version(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")


def told(study: optuna.Study) -> list[dict[str, Any]]:
    """Everything that the samplers see of the trials."""
    names = ("number", "state", "params", "values", "intermediate_values", "constraints")
    return [{name: getattr(trial, name) for name in names} for trial in study.get_trials()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A search without any loss."""
    search = Search(tmp_path_factory.mktemp("whole"), CONSTRAINED)
    search.run_all()
    return search


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lose,
        tear,
        overwrite,
        empty,
        go_back,
        end_what_runs,
        change_a_parameter,
        name_constraints_by_their_metric,
        drop_a_column,
        write_by_another_version,
    ],
)
def test_an_optuna_database_that_disagrees_is_written_anew(
    tmp_path: Path, whole: Search, damage: Callable[[Path], None]
) -> None:
    search, database = Search(tmp_path, CONSTRAINED), tmp_path / "optuna.db"
    search.run_all(3)
    shutil.copyfile(database, tmp_path / "older")
    search.run_all(3)
    search.suggest()
    before = told(search.study)
    damage(database)
    again = Search(tmp_path, CONSTRAINED)
    assert told(again.study) == before
    assert (tmp_path / "optuna.db.replaced").exists() == (damage is not lose)
    again.run_all()
    assert params_of(again) == params_of(whole)
    assert told(again.study) == told(whole.study)


def test_reconciling_twice_changes_nothing(tmp_path: Path) -> None:
    search = Search(tmp_path, CONSTRAINED)
    search.run_all(4)
    search.suggest()
    journal, trials = (tmp_path / "journal.jsonl").read_bytes(), told(search.study)
    for _ in range(2):
        study = reconcile_optuna(CONSTRAINED, tmp_path / "optuna.db", search.records)
        assert told(study) == trials
    assert (tmp_path / "journal.jsonl").read_bytes() == journal
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.jsonl", "optuna.db"]


STRANGER = """
import sys, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="s", storage=f"sqlite:///{sys.argv[1]}")
print("ready", flush=True)
while True:
    study.ask()
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
"""


def test_another_process_that_asks_and_tells_costs_and_adds_no_trial(tmp_path: Path) -> None:
    search = Search(tmp_path, spec())
    with Beside(STRANGER, tmp_path / "optuna.db"):
        search.run_all(6)
        search.suggest()
    again = Search(tmp_path, spec())
    again.run_all()
    reap(again.study, again.records)
    trials = again.study.get_trials()
    assert len(trials) > len(again.records) == 12, "the stranger's are there, and are not counted"
    assert all(trial.state.is_finished() for trial in trials)
    ours = {name: trials[int(name[1:])] for name in params_of(again)}
    assert {name: trial.params["attention.lambda_q"] for name, trial in ours.items()} == {
        name: params["attention.lambda_q"] for name, params in params_of(again).items()
    }
    assert {trial.state.name for trial in ours.values()} <= {"COMPLETE", "PRUNED"}


LOCKER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
while True:
    database.execute("BEGIN EXCLUSIVE")
    print("ready", flush=True)
    time.sleep(1.5)
    database.execute("ROLLBACK")
    time.sleep(1)
"""


def test_a_locked_optuna_database_is_waited_for(tmp_path: Path, whole: Search) -> None:
    search = Search(tmp_path, CONSTRAINED)
    search.run_all(3)
    with Beside(LOCKER, tmp_path / "optuna.db"):
        search.run_all(2)
    search.run_all()
    assert params_of(search) == params_of(whole)
    assert told(search.study) == told(whole.study)


def test_an_optuna_database_that_stays_locked_ends_the_driver_and_loses_nothing(
    tmp_path: Path, whole: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_study, "LOCK_WAIT_S", 0.1)
    search = Search(tmp_path, CONSTRAINED)
    search.run_all(3)
    tune_id, config = search.suggest()  # type: ignore[misc]
    with sqlite3.connect(tmp_path / "optuna.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        search.run(tune_id, config)
        assert re.search(r"optuna\.db.*locked.*--resume", str(search.searcher.halted_by))
        with pytest.raises(AIBError, match=r"optuna\.db.*locked.*--resume"):
            Search(tmp_path, CONSTRAINED)
        other.execute("ROLLBACK")
    again = Search(tmp_path, CONSTRAINED)
    again.run_all()
    assert params_of(again) == params_of(whole)
    assert told(again.study) == told(whole.study)


class Store:
    """A driver's recorder over a store that outlives the driver."""

    def __init__(self, folder: Path, tracker: RecordingTracker) -> None:
        tracker.write(OpenStudy("s", "0", {}, {}))
        data = DatasetInput(name="d", digest="0", source="s", num_train=1)
        self.recorder = Recorder(Journal(folder / "journal.jsonl"), tracker, data, {})

    def reconcile(self) -> None:
        reconcile_store(self.recorder, lambda record: TrialConfig.from_dict({"model": "vgg-aib-qt", "epochs": 2}))


@pytest.fixture
def recorded(tmp_path: Path) -> RecordingTracker:
    """A store with three recorded trials: completed, stopped and running."""
    tracker = RecordingTracker()
    recorder = Store(tmp_path, tracker).recorder
    config = TrialConfig.from_dict({"model": "vgg-aib-qt", "epochs": 2})
    for number, epochs in enumerate((2, 1, 1)):
        recorder.trial_started(f"t0000{number}", "search", {}, config)
        for epoch in range(1, epochs + 1):
            recorder.epoch(f"t0000{number}", {"epoch": float(epoch), "val_error_pct": 9.0, "val_nll": 1.0})
    recorder.trial_ended("t00000", "completed")
    recorder.trial_ended("t00001", "stopped")
    recorder.settle()
    recorder.journal.close()
    return tracker


def forget(tracker: RecordingTracker) -> None:
    tracker.runs.clear()


def lose_an_end(tracker: RecordingTracker) -> None:
    tracker.runs["t00001"]["status"] = "RUNNING"


def lose_an_epoch(tracker: RecordingTracker) -> None:
    lose_an_end(tracker)
    tracker.runs["t00001"]["history"].clear()


@pytest.mark.parametrize("loss", [forget, lose_an_end, lose_an_epoch])
def test_a_store_that_lost_a_trial_is_told_again_once(
    tmp_path: Path, recorded: RecordingTracker, loss: Callable[[RecordingTracker], None]
) -> None:
    whole = {trial: {**run} for trial, run in deepcopy(recorded.runs).items() if trial in ("t00000", "t00001")}
    loss(recorded)
    Store(tmp_path, recorded).reconcile()
    told_again = len(recorded.calls)
    for trial, run in whole.items():
        found = recorded.runs[trial]
        assert {key: found[key] for key in ("status", "history", "params")} == {
            key: run[key] for key in ("status", "history", "params")
        }
    journal = (tmp_path / "journal.jsonl").read_bytes()
    Store(tmp_path, recorded).reconcile()
    assert recorded.calls[told_again:] == ["OpenStudy"]
    assert (tmp_path / "journal.jsonl").read_bytes() == journal


def test_while_the_store_is_away_only_what_was_never_told_is_said(
    tmp_path: Path, recorded: RecordingTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (tmp_path / "journal.jsonl").read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    assert b"recorded" in whole[last:]
    (tmp_path / "journal.jsonl").write_bytes(whole[:last])
    monkeypatch.setattr(recorded, "ended_trials", lambda timeout_s: None)
    store = Store(tmp_path, recorded)
    recorded.calls.clear()
    store.reconcile()
    assert recorded.calls == ["OpenTrial", "LogEpoch", "CloseTrial"], "of t00001 alone"
    assert store.recorder.journal.state.trials["t00001"].recorded


class Beside:
    """Runs a Python script beside the test; starts with its first line of output."""

    def __init__(self, script: str, *arguments: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
