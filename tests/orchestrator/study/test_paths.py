"""A study's files stay under the root, and only their owner can access them."""

import stat
from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.study.paths import data_root, study_paths
from trainables.errors import ConfigError

HOSTILE = ["", ".", "..", "../../x", "/etc", "a/b", "a\0b", "A" * 300, "CON", "ａ", "a\n"]


def test_the_layout_is_the_contracts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = study_paths(Path("runs"), "demo")
    files = [paths.mlflow_db, paths.artifacts, paths.data, paths.study_json, paths.journal, paths.optuna_db]
    assert [str(path.relative_to(tmp_path)) for path in (*files, paths.trial("t00001"))] == [
        "runs/mlflow.db",
        "runs/artifacts",
        "runs/data",
        "runs/studies/demo/study.json",
        "runs/studies/demo/journal.jsonl",
        "runs/studies/demo/optuna.db",
        "runs/studies/demo/trials/t00001",
    ]
    assert data_root("runs") == paths.data
    assert not paths.root.exists()  # asking makes nothing


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_could_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the name of a study is"):
        study_paths(tmp_path, name)
    with pytest.raises(ConfigError, match="the name of a trial is"):
        study_paths(tmp_path, "s").trial(name)


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root" / "studies").mkdir(parents=True)
    (tmp_path / "root" / "studies" / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="link that leads out"):
        study_paths(tmp_path / "root", "s")
    paths = study_paths(tmp_path / "root", "t")
    paths.create()
    (paths.trials / "t1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="link that leads out"):
        paths.trial("t1")


def test_a_root_that_is_itself_a_link_is_the_users_own_choice(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    assert study_paths(tmp_path / "runs", "s").folder == tmp_path / "disk" / "studies" / "s"


def test_study_folders_are_their_owners_alone(tmp_path: Path) -> None:
    paths = study_paths(tmp_path, "s")
    paths.folder.mkdir(parents=True, mode=0o755)
    paths.create()
    paths.create()
    for folder in (paths.folder, paths.trials, paths.spool, paths.scratch):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("a file in the way")
    with pytest.raises(PreflightError, match="cannot be made"):
        study_paths(tmp_path, "s").create()
