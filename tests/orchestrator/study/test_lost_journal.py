"""A journal that is lost beside a study's trials is told from a new study."""

import sqlite3
from pathlib import Path

import pytest

from orchestrator.cli.app import main
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.study import open_study, view_study
from search_spaces.schema import load_spec

SPEC = """
name: s
trial: {model: vgg-aib-qt, dataset: cluttered-digits, epochs: 5, evaluation.occluder_dataset: cluttered-digits}
space: {bottleneck.latent_dim: {choice: [8, 16]}}
trials: 2
"""


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    """A study that has begun no trial, and whose journal is empty."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    found = study_paths(tmp_path / "runs", "s")
    with open_study(load_spec(tmp_path / "spec.yaml", []), found, False, {}):
        pass
    return found


def write_trials(database: Path, count: int) -> None:
    database.touch(mode=0o600)
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE trials (trial_id)")
    connection.executemany("INSERT INTO trials VALUES (?)", [(number,) for number in range(count)])
    connection.commit()
    connection.close()


def test_a_study_killed_before_its_first_line_is_new(paths: StudyPaths) -> None:
    assert view_study(paths).state.stage == "new"
    paths.journal.unlink()
    write_trials(paths.optuna_db, 0)
    assert view_study(paths).state.stage == "new"


@pytest.mark.parametrize("damage", ["empty", "missing", "half a line"])
@pytest.mark.parametrize(
    "words", [["status"], ["trials"], ["report"], ["gc"], ["search", "--resume"], ["plan", "SPEC"]]
)
def test_trials_without_a_journal_are_refused_and_both_files_named(
    damage: str, words: list[str], paths: StudyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trials(paths.optuna_db, 3)
    if damage == "missing":
        paths.journal.unlink()
    elif damage == "half a line":
        paths.journal.write_text('{"event":"stage"')
    verb, *options = words
    what = str(paths.root.parent / "spec.yaml") if options == ["SPEC"] else "s"
    with pytest.raises(SystemExit) as leaving:
        main([verb, what, *(option for option in options if option != "SPEC"), "--root", str(paths.root)])
    message = capsys.readouterr().err
    assert leaving.value.code == 3, message
    assert str(paths.journal) in message
    assert f"{paths.optuna_db} holds 3 trials" in message
    assert "Restore the journal" in message
    assert "Traceback" not in message


def test_checkpoints_or_a_damaged_database_without_a_journal_are_refused(
    paths: StudyPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    (paths.trials / "train").mkdir()
    with pytest.raises(SystemExit):
        main(["status", "s", "--root", str(paths.root)])
    assert f"{paths.trials} holds checkpoints" in capsys.readouterr().err
    (paths.trials / "train").rmdir()
    paths.optuna_db.write_bytes(b"no database" * 100)
    with pytest.raises(SystemExit):
        main(["status", "s", "--root", str(paths.root)])
    assert f"{paths.optuna_db} cannot be read" in capsys.readouterr().err
