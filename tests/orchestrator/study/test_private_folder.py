"""A resume reads a study only where no other user can have written it."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli.app import main
from orchestrator.errors import PreflightError
from orchestrator.search.reconcile_optuna import reconcile_optuna
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.private_folder import check_private
from orchestrator.study.study import check_startable, open_study
from search_spaces.schema import SearchSpec, load_spec

NOBODY = 65534
SPEC = """
name: mine
trial: {model: vgg-aib-qt, model.width: 0.0625, dataset: cluttered-digits, epochs: 2, data.image_size: 16}
space: {bottleneck.beta: {power_of_ten: [1, 2]}}
trials: 2
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def spec(tmp_path: Path) -> SearchSpec:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return load_spec(path)


@pytest.fixture
def paths(tmp_path: Path, spec: SearchSpec) -> StudyPaths:
    """A started study with every kind of file that a resume reads."""
    found = study_paths(tmp_path / "runs", spec.name)
    with open_study(spec, found, False, {}) as study:
        study.journal.append("stage", stage="searching")
    found.optuna_db.touch(mode=0o600)
    (found.folder / "report").mkdir(mode=0o777)
    (found.folder / "report").chmod(0o777)
    return found


def give_away(name: str) -> Callable[[Path], None]:
    return lambda folder: os.chown(folder / name, NOBODY, NOBODY)


def open_up(name: str, mode: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).chmod(stat.S_IMODE((folder / name).stat().st_mode) | mode)


def link(folder: Path) -> None:
    (folder / "journal.jsonl").rename(folder.parent / "elsewhere")
    (folder / "journal.jsonl").symlink_to(folder.parent / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / "study.json").unlink()
    os.mkfifo(folder / "study.json", 0o600)


FAULTS = [
    *(
        pytest.param(give_away(name), "belongs to another user", marks=as_root, id=f"{name or 'folder'} given away")
        for name in ("", "study.json", "journal.jsonl", "optuna.db", "trials", "spool")
    ),
    *(
        pytest.param(open_up(name, mode), "can be written by other users", id=f"{name or 'folder'} {mode:o}")
        for name, mode in (("", 0o020), ("", 0o002), ("study.json", 0o020), ("journal.jsonl", 0o002), ("trials", 0o022))
    ),
    pytest.param(link, "is a link or a device", id="linked journal"),
    pytest.param(pipe, "is a link or a device", id="pipe"),
]


def test_a_study_that_is_its_owners_alone_goes_on(paths: StudyPaths, spec: SearchSpec) -> None:
    assert check_startable(spec, paths, resume=True)
    with open_study(spec, paths, True, {}) as study:
        assert (study.resumed, study.journal.state.stage) == (True, "searching")


@pytest.mark.parametrize(("spoil", "said"), FAULTS)
def test_a_study_that_others_could_write_is_refused_before_it_is_read(
    paths: StudyPaths,
    spec: SearchSpec,
    spoil: Callable[[Path], None],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Whoever could write it would have written this; a reader that came so far would say so instead.
    (paths.folder / "study.json").write_text("{")
    spoil(paths.folder)
    before = sorted((path, path.lstat().st_mode, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*"))
    for verb in ("search", "train"):
        with pytest.raises(SystemExit) as leaving:
            main([verb, str(tmp_path / "spec.yaml"), "--resume", "--name", "mine", "--root", str(tmp_path / "runs")])
        message = capsys.readouterr().err
        assert (leaving.value.code, said in message, "--name" in message) == (3, True, True), message
        assert "chown" in message
    for go_on in (lambda: check_startable(spec, paths, True), paths.create):
        with pytest.raises(PreflightError, match=said):
            go_on()
    after = sorted((path, path.lstat().st_mode, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*"))
    assert after == before


def test_a_file_that_vanishes_meanwhile_hides_no_other(paths: StudyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    open_up("journal.jsonl", 0o002)(paths.folder)
    listed = Path.iterdir

    def then_gone(folder: Path) -> Iterator[Path]:
        (folder / "a.tmp").touch(mode=0o600)
        found = list(listed(folder))
        (folder / "a.tmp").unlink()
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", then_gone)
    with pytest.raises(PreflightError, match=r"journal\.jsonl can be written by other users"):
        check_private(paths.folder)


def test_what_a_study_writes_is_accepted_again_under_any_umask(tmp_path: Path, spec: SearchSpec) -> None:
    former = os.umask(0o000)
    try:
        paths = study_paths(tmp_path / "open", spec.name)
        with open_study(spec, paths, False, {}) as study:
            study.journal.append("stage", stage="searching")
            reconcile_optuna(spec, paths.optuna_db, [])
        assert check_startable(spec, paths, resume=True)
    finally:
        os.umask(former)
    read_by_a_resume = (paths.study_json, paths.journal, paths.optuna_db, paths.folder / "lease")
    assert {stat.S_IMODE(path.stat().st_mode) for path in read_by_a_resume} == {0o600}


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000])
def test_a_damaged_study_file_is_named(paths: StudyPaths, spec: SearchSpec, content: str) -> None:
    paths.study_json.write_text(content)
    with pytest.raises(PreflightError, match=r"study\.json cannot be read"):
        check_startable(spec, paths, resume=True)
