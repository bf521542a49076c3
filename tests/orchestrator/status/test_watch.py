"""`watch` follows a study that another process runs; `link_lines` names the pages that show it."""

import io
import json
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli.app import main
from orchestrator.errors import PreflightError
from orchestrator.status.links import link_lines
from orchestrator.status.watch import follow, watch
from orchestrator.study.journal import Journal, JournalTail
from orchestrator.study.lock import is_held, study_lock
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.slot_report import Holder, SlotReport, write_slot_report
from orchestrator.study.study import open_study, view_study
from search_spaces.schema import SearchSpec

SPEC = SearchSpec.from_dict(
    {
        "name": "watched",
        "trial": {"model": "vgg-aib-qt", "dataset": "cluttered-digits", "epochs": 3},
        "space": {"bottleneck.beta": {"power_of_ten": [0, 1, 2]}},
        "trials": 4,
    }
)


def start(journal: Journal, trial: str) -> None:
    journal.append("trial", trial=trial, kind="search", params={"bottleneck.beta": 0.1}, seed=0, of=None)


def epoch(journal: Journal, trial: str, number: int) -> None:
    row = {"epoch": float(number), "val_error_pct": 50.0 - number, "val_nll": 1.0}
    journal.append("epoch", durable=False, trial=trial, metrics=row)


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    """A study without a driver, with one started trial."""
    found = study_paths(tmp_path, "watched")
    with open_study(SPEC, found, False, {}) as study:
        start(study.journal, "t00000")
    return found


def test_a_study_is_followed_for_as_long_as_its_driver_holds_it(paths: StudyPaths) -> None:
    lines = io.StringIO()
    watching = threading.Thread(target=watch, args=(paths, Console(file=lines, width=200), 0.02), daemon=True)

    def said(words: str) -> None:
        end = time.monotonic() + 20
        while words not in lines.getvalue():
            assert time.monotonic() < end, f"{words!r} is not in {lines.getvalue()!r}"
            time.sleep(0.01)

    with open_study(SPEC, paths, True, {}) as study:
        watching.start()
        # Trials that exist when it first looks are not printed; so start trials until it prints one.
        for number in range(10, 2000):
            start(study.journal, f"t{number:05d}")
            time.sleep(0.02)
            if lines.getvalue():
                break
        epoch(study.journal, "t00000", 2)
        said("t00000 running  epoch 2/3  val error 48.00 %")
        start(study.journal, "t00001")
        said("t00001 starting  beta=0.1")
        study.journal.append("stepped", trial="t00001")
        said("t00001 running  beta=0.1")
        write_slot_report(
            paths.slot_report, SlotReport(waiting=1, waits_for="1 worker", held_by=(Holder("a", "ann", 2),))
        )
        said("waiting for room: 1 of 1 trial slots have no workers yet: 1 worker; study a of ann has 2 slots")
        assert watching.is_alive(), "the driver is still there"
    watching.join(timeout=20)
    assert not watching.is_alive()


def test_a_study_without_a_driver_is_looked_at_once(paths: StudyPaths) -> None:
    (state,) = follow(paths, 60.0)
    assert list(state.trials) == ["t00000"]


def test_json_is_the_status_when_the_driver_has_left(paths: StudyPaths, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for verb in ("watch", "status"):
        with pytest.raises(SystemExit) as leaving:
            main([verb, "watched", "--json", "--root", str(paths.root)])
        captured = capsys.readouterr()
        assert leaving.value.code == 0, captured.err
        said.append(json.loads(captured.out))
    assert said[0] == said[1]
    assert said[0]["driver_running"] is False


def test_a_study_that_is_not_there_is_refused_with_those_that_are(paths: StudyPaths) -> None:
    with pytest.raises(PreflightError, match="studies there: watched"):
        next(follow(study_paths(paths.root, "other"), 1.0))


def test_looking_at_a_lease_takes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with study_lock(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(PreflightError, match="run by another process"), study_lock(tmp_path):
            pass
    assert not is_held(tmp_path)
    with study_lock(tmp_path):
        pass


def test_a_tail_takes_each_line_once_and_waits_for_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    tail = JournalTail(path)
    tail.read()
    assert tail.state.trials == {}
    journal = Journal(path)
    start(journal, "t00000")
    epoch(journal, "t00000", 1)
    tail.read()
    torn = json.dumps({"event": "ended", "time": 1.0, "trial": "t00000", "state": "completed", "reason": ""})
    with path.open("a") as file:
        file.write(torn[:20])
        file.flush()
        tail.read()
        assert tail.state.trials["t00000"].state == "running"
        file.write(torn[20:] + "\n")
    tail.read()
    assert tail.state.trials["t00000"].state == "completed"
    assert tail.whole_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (
            "sqlite:////data/a b/m.db",
            "MLflow: http://127.0.0.1:5000/#/experiments/7?workflowType=machine_learning after: mlflow ui "
            "--backend-store-uri 'sqlite:////data/a b/m.db' --host 127.0.0.1 --port 5000",
        ),
        (
            "https://mlflow.example.org/",
            "MLflow: https://mlflow.example.org/#/experiments/7?workflowType=machine_learning",
        ),
    ],
)
def test_every_study_names_the_pages_that_show_it(paths: StudyPaths, uri: str, said: str) -> None:
    assert link_lines(paths, view_study(paths)) == []
    with open_study(SPEC, paths, True, {}) as study:
        record = {"tracking_uri": uri, "experiment_id": "7", "run_id": "r"}
        study.journal.append("mlflow", record=record)
    paths.optuna_db.touch()
    mlflow, optuna = link_lines(paths, view_study(paths))
    assert mlflow == said
    assert optuna.endswith(f"after: optuna-dashboard sqlite:///{paths.optuna_db} --host 127.0.0.1 --port 8080")
