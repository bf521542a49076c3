"""`aib gc` on real folders and a real object store: what it removes, what it keeps, and kills in between."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cleanup.collect import collect, remove_leftovers
from orchestrator.cli.app import main
from orchestrator.errors import PreflightError
from orchestrator.study.checkpoint_storage import TrialStorage
from orchestrator.study.lock import study_lock
from orchestrator.study.paths import StudyPaths
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.records import LogArtifact, OpenStudy
from orchestrator.tracking.tracker import TrackerUnavailableError
from tests.support.recording_tracker import RecordingTracker
from tests.support.s3_server import s3_server
from tests.support.some_study import make_study, save
from trainables.checkpoints.checkpoint import MANIFEST, read_state
from trainables.checkpoints.object_store import ObjectStore
from trainables.runtime.node_cache import CACHE_VARIABLE

STAYS = {
    "t00000": [6],
    "t00001": [],
    "t00002": [],
    "t00003": [4, 3],
    "t00004": [6],
    "t00005": [],
    "f00000-seed1": [6],
    "f00000-seed2": [5, 4],
}
"""Trial of `make_study` -> epochs of the checkpoints that `aib gc` keeps, newest first."""


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found.uri


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[StudyPaths, TrialStorage]:
    where = None if request.param == "folder" else request.getfixturevalue("uri").replace("/runs", f"/{tmp_path.name}")
    return make_study(tmp_path / "runs", where)


@pytest.fixture
def in_folder(tmp_path: Path) -> tuple[StudyPaths, TrialStorage]:
    return make_study(tmp_path / "runs")


def epochs_left(storage: TrialStorage) -> dict[str, list[int]]:
    """Trial -> epochs of its checkpoints, each read back and checked against its manifest."""
    found: dict[str, list[int]] = {}
    for trial in STAYS:
        store = storage.of(trial)
        found[trial] = []
        for one in store.listed():
            assert one.complete, f"{trial}/{one.name}"
            with store.named(one.name) as folder:
                found[trial].append(read_state(folder)["epoch"])
    return found


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_only_what_no_command_reads_is_removed(study: tuple[StudyPaths, TrialStorage]) -> None:
    paths, storage = study
    planned = collect(paths, dry_run=True)
    assert epochs_left(storage)["t00001"] == [4, 3, 2], "a dry run removes nothing"
    done = collect(paths, dry_run=False)
    assert [one[:3] for one in done.removals] == [one[:3] for one in planned.removals]
    assert epochs_left(storage) == STAYS
    assert {kept.trial for kept in done.kept} == {trial for trial, epochs in STAYS.items() if epochs}
    assert done.num_bytes > 2 * 16 * 4 * 14 + 960
    left = {name for name in files(paths.folder) if not name.startswith("trials/")}
    assert left == {"study.json", "journal.jsonl", "lease", "optuna.db", "report/report.html"}
    assert not list(paths.root.glob(".storage-check*"))


def test_a_driver_that_starts_removes_what_killed_ones_left_and_no_checkpoint(
    in_folder: tuple[StudyPaths, TrialStorage],
) -> None:
    paths, storage = in_folder
    with study_lock(paths.folder):
        remove_leftovers(paths)
    assert epochs_left(storage)["t00001"] == [4, 3, 2]
    left = {name for name in files(paths.root) if "/trials/" not in name}
    kept = ("study.json", "journal.jsonl", "lease", "optuna.db", "report/report.html")
    assert left == {f"studies/some/{name}" for name in kept}


def test_the_second_run_finds_nothing(study: tuple[StudyPaths, TrialStorage]) -> None:
    paths, storage = study
    collect(paths, dry_run=False)
    before = files(paths.folder)
    again = collect(paths, dry_run=False)
    assert again.removals == ()
    assert files(paths.folder) == before
    assert epochs_left(storage) == STAYS


def test_an_older_checkpoint_stays_where_a_newer_one_is_damaged(study: tuple[StudyPaths, TrialStorage]) -> None:
    paths, storage = study
    store = storage.of("t00003")
    newest = store.listed()[0].name
    if isinstance(store, ObjectStore):
        damaged = paths.root / "damaged"
        damaged.write_bytes(b"rotten")
        store.bucket.put(damaged, f"{store.prefix}/{newest}/state.json")
    else:
        (paths.trials / "t00003" / "checkpoints" / newest / "state.json").write_bytes(b"rotten")
    collect(paths, dry_run=False)
    assert epochs_left(storage) == {**STAYS, "t00003": [3, 2]}


def test_an_incomplete_checkpoint_of_a_running_trial_is_removed(
    study: tuple[StudyPaths, TrialStorage],
) -> None:
    paths, storage = study
    store = storage.of("t00003")
    if isinstance(store, ObjectStore):
        save(storage, "t00003", 5)
        store.bucket.remove(f"{store.prefix}/{store.listed()[0].name}/{MANIFEST}")
    else:
        (paths.trials / "t00003" / "checkpoints" / ".epoch_000005.77").mkdir()
    assert len([one for one in store.listed() if not one.complete]) == 1
    collect(paths, dry_run=False)
    assert epochs_left(storage) == STAYS


def test_checkpoints_that_the_journal_does_not_know_are_left_alone(in_folder: tuple[StudyPaths, TrialStorage]) -> None:
    paths, storage = in_folder
    save(storage, "t00077", 1)
    collect(paths, dry_run=False)
    assert [one.name for one in storage.of("t00077").listed()] == ["epoch_000001"]


def test_links_are_not_followed_out_of_the_study(in_folder: tuple[StudyPaths, TrialStorage], tmp_path: Path) -> None:
    paths, _ = in_folder
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "epoch_000001").mkdir(parents=True)
    (elsewhere / "epoch_000001" / "precious").write_text("mine")
    (paths.scratch / "link").symlink_to(elsewhere)
    (paths.trials / "t00001" / "checkpoints" / "epoch_000009").symlink_to(elsewhere / "epoch_000001")
    shutil.rmtree(paths.trials / "t00002" / "checkpoints")
    (paths.trials / "t00002" / "checkpoints").symlink_to(elsewhere)
    collect(paths, dry_run=False)
    assert (elsewhere / "epoch_000001" / "precious").read_text() == "mine"
    assert not (paths.scratch / "link").is_symlink()


def test_a_study_that_a_driver_runs_is_left_alone(
    in_folder: tuple[StudyPaths, TrialStorage], capsys: pytest.CaptureFixture[str]
) -> None:
    paths, _ = in_folder
    before = files(paths.folder)
    with study_lock(paths.folder), pytest.raises(SystemExit) as leaving:
        main(["gc", "some", "--root", str(paths.root)])
    assert leaving.value.code == 3
    assert "being run by another process" in capsys.readouterr().err
    assert files(paths.folder) - {"lease"} == before


@pytest.mark.server
def test_storage_that_does_not_answer_is_an_error_and_nothing_is_removed(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, storage = make_study(tmp_path / "runs", uri.replace("/runs", "/away"))
    before = files(paths.folder)
    monkeypatch.setattr("trainables.checkpoints.bucket._ATTEMPTS", 1)
    there = paths.study_json.read_text()
    elsewhere = "s3://aib/away?endpoint_override=127.0.0.1%3A9"
    paths.study_json.write_text(json.dumps({**json.loads(there), "storage": elsewhere}))
    with pytest.raises(PreflightError, match=r"s3://aib/away.*cannot be read.*nothing was removed"):
        collect(paths, dry_run=False)
    assert files(paths.folder) - {"lease"} == before
    paths.study_json.write_text(there)
    assert epochs_left(storage)["t00001"] == [4, 3, 2]


def test_records_that_wait_for_the_server_and_their_files_stay(
    in_folder: tuple[StudyPaths, TrialStorage], tmp_path: Path
) -> None:
    paths, _ = in_folder
    figure = tmp_path / "map.png"
    figure.write_bytes(b"png")
    inner = RecordingTracker()
    spool = Spool(paths.spool, segment_bytes=1)
    tracker = BufferedTracker(inner, spool, first_delay_s=0.01)
    tracker.write(OpenStudy("some", "0", {}, {}))
    tracker.write(LogArtifact(None, figure))
    assert tracker.flush(5) == 0
    inner.fail_with = TrackerUnavailableError("away")
    tracker.write(LogArtifact(None, figure))
    tracker.close()
    # A kill between the copy and its record.
    orphan = Spool(paths.spool)
    orphan.keep_file(figure)
    orphan.close()
    removed = {one.what for one in collect(paths, dry_run=False).removals if one.what.startswith("spool/")}
    assert len([what for what in removed if what.startswith("spool/files/")]) == 1
    with_files = BufferedTracker(later := RecordingTracker(), Spool(paths.spool), first_delay_s=0.01)
    assert with_files.flush(5) == 0
    with_files.close()
    assert later.runs[None]["files"] == {"map.png": b"png"}


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_study_that_resumes_and_the_next_run_finishes(
    in_folder: tuple[StudyPaths, TrialStorage], tmp_path: Path
) -> None:
    """SIGKILL before the n-th unlink, rmdir or rename, for every n until one run completes."""
    paths, storage = in_folder
    for trial in ("t00000", "t00002", "t00004", "t00005"):
        shutil.rmtree(paths.trials / trial)
    stays = {trial: epochs if (paths.trials / trial).exists() else [] for trial, epochs in STAYS.items()}
    shutil.copytree(paths.folder, tmp_path / "before")
    kills = 0
    while _killed(lambda: collect(paths, dry_run=False), at=kills):
        kills += 1
        for trial, epochs in stays.items():
            with storage.of(trial).newest() as newest:
                assert not epochs or (newest is not None and read_state(newest)["epoch"] == epochs[0]), (kills, trial)
        collect(paths, dry_run=False)
        assert epochs_left(storage) == stays, kills
        shutil.rmtree(paths.folder)
        shutil.copytree(tmp_path / "before", paths.folder)
    assert kills > 30
    assert epochs_left(storage) == stays


def _killed(action: Callable[[], object], at: int) -> bool:
    """Runs the action in a child that is killed before its call number `at` to remove or rename; True if it was."""
    child = os.fork()
    if child == 0:
        calls = iter(range(at + 1_000_000))
        for name in ("unlink", "rmdir", "rename"):
            setattr(os, name, _dying(getattr(os, name), calls, at))
        try:
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed instead of being killed"
    return os.WIFSIGNALED(status)


def _dying(call: Callable[..., None], calls: Iterator[int], at: int) -> Callable[..., None]:
    def dying(*arguments: object, **options: object) -> None:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        call(*arguments, **options)

    return dying


def test_the_command_says_what_and_how_much(
    in_folder: tuple[StudyPaths, TrialStorage], capsys: pytest.CaptureFixture[str]
) -> None:
    paths, storage = in_folder
    for arguments, verb in ((["--dry-run"], "would be removed"), ([], "removed")):
        with pytest.raises(SystemExit) as leaving:
            main(["gc", "some", "--root", str(paths.root), *arguments])
        assert leaving.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert any(line.startswith("trials/t00001/epoch_000004") and "stopped" in line for line in lines)
        assert "kept t00003: epoch_000004, epoch_000003, not ended: a resume continues from it" in lines
        assert lines[-1].startswith("some: ")
        assert lines[-1].endswith(f"KiB {verb}")
    assert epochs_left(storage) == STAYS
    with pytest.raises(SystemExit):
        main(["gc", "some", "--root", str(paths.root), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["dry_run"], found["removed"], found["bytes"]) == ("some", False, [], 0)
    assert {"trial", "checkpoints", "why"} == set(found["kept"][0])
