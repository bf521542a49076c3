"""The journal survives a kill at any moment."""

import time
from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.study.journal import Journal, LockLostError, read_state
from tests.support.full_disk import KINDS, small_disk
from trainables.errors import StorageError


def fill(journal: Journal) -> None:
    journal.append("trial", trial="t00000", kind="search", params={"bottleneck.beta": 0.01}, seed=0, of=None)
    for epoch, error in ((1, 50.0), (2, 30.0), (3, 40.0)):
        row = {"epoch": float(epoch), "val_error_pct": error, "val_nll": 1.0, "interp_centered_pct": 10.0 * epoch}
        journal.append("epoch", durable=False, trial="t00000", metrics=row)
    journal.append("ended", trial="t00000", state="completed", reason="")


def test_state_survives_reopening(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    fill(journal)
    journal.close()
    assert read_state(tmp_path / "journal.jsonl") == journal.state == Journal(tmp_path / "journal.jsonl").state


def test_a_line_torn_by_a_kill_is_cut_off_and_the_next_event_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    fill(journal)
    journal.close()
    whole = path.read_bytes()
    for cut in (1, 7, 40):
        path.write_bytes(whole[:-cut])
        assert read_state(path).trials["t00000"].state == "running"
        reopened = Journal(path)
        reopened.append("ended", trial="t00000", state="stopped", reason="")
        reopened.close()
        assert read_state(path).trials["t00000"].state == "stopped"


def test_an_epoch_told_twice_is_kept_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    fill(journal)
    row = {"epoch": 2.0, "val_error_pct": 1.0, "val_nll": 1.0}
    journal.append("epoch", trial="t00000", metrics=row)
    assert [r["val_error_pct"] for r in journal.state.trials["t00000"].history] == [50.0, 30.0, 40.0]


def test_the_parts_of_a_start_end_with_the_first_epoch_of_each_driver(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    fill(journal)
    assert journal.state.start_s == {}, "a study of an earlier version"
    row = {"val_error_pct": 1.0, "val_nll": 1.0}
    journal.append("driver", owner="ann@desk", start_s={"imports": 2.0, "cluster": 3.0})
    assert journal.state.start_s == {"imports": 2.0, "cluster": 3.0}
    journal.append("stepped", trial="t00000")
    journal.append("epoch", trial="t00000", metrics={"epoch": 4.0, **row})
    first = dict(journal.state.start_s)
    assert list(first) == ["imports", "cluster", "workers", "first_epoch"]
    journal.append("stepped", trial="t00000")
    journal.append("epoch", trial="t00000", metrics={"epoch": 5.0, **row})
    assert journal.state.start_s == first == read_state(journal.path).start_s
    journal.append("driver", owner="ann@desk", start_s={"imports": 1.0})
    assert journal.state.start_s == {"imports": 1.0}


def test_outcome_joins_the_best_epochs_metrics_with_the_final_score(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    fill(journal)
    outcome = journal.state.trials["t00000"].outcome
    assert (outcome["val_error_pct"], outcome["interp_centered_pct"]) == (30.0, 30.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_that_a_full_disk_cuts_is_taken_back_and_not_counted(tmp_path: Path, kind: str) -> None:
    with small_disk(kind, tmp_path / "disk", megabytes=1) as disk:
        path = disk.path / "journal.jsonl"
        journal = Journal(path)
        fill(journal)
        before = path.read_bytes()
        # Longer than what is left of a file's last page.
        long = "x" * 8192
        with disk.full(), pytest.raises(StorageError, match=r"journal\.jsonl cannot be written"):
            journal.append("stage", stage=long)
        assert path.read_bytes() == before
        assert journal.state.stage == "new"
        journal.append("stage", stage="finalists")
        journal.close()
        assert read_state(path).stage == "finalists"


@pytest.mark.parametrize(
    "line", [b"\0\0\0\n", b'{"event":"ended","trial":"t9"}\n', b"[]\n", b"[" * 100_000 + b"\n"], ids=range(4)
)
def test_a_damaged_journal_is_named_with_the_place(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    fill(journal)
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + line)
    for read in (read_state, Journal):
        with pytest.raises(PreflightError, match=rf"journal\.jsonl is damaged after byte {len(whole)}"):
            read(path)
    assert path.read_bytes() == whole + line, "nothing is cut off that could still be mended"


def test_a_driver_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    stale = Journal(path)
    fill(stale)
    successor = Journal(path)
    successor.append("stage", stage="finalists")
    whole = path.read_bytes()
    for _ in range(2):
        with pytest.raises(LockLostError, match="another process"):
            stale.append("stage", stage="publishing")
    assert stale.lost
    assert path.read_bytes() == whole
    successor.append("stage", stage="done")
    assert read_state(path) == successor.state


def test_a_driver_whose_study_was_removed_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    fill(journal)
    journal.path.unlink()
    with pytest.raises(LockLostError, match="was removed"):
        journal.append("stage", stage="done")


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_a_day_moves_no_duration_and_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    real, journal = time.time, Journal(tmp_path / "journal.jsonl")
    fill(journal)
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    journal.append("trial", trial="t00001", kind="search", params={}, seed=0, of=None)
    journal.close()
    # The next driver starts by the changed clock.
    resumed = Journal(tmp_path / "journal.jsonl")
    resumed.append("epoch", trial="t00001", metrics={"epoch": 1.0, "val_error_pct": 9.0, "val_nll": 1.0})
    monkeypatch.undo()
    resumed.append("ended", trial="t00001", state="completed", reason="")
    first, second = resumed.state.trials.values()
    times_s = [first.started_s, first.first_epoch_s, first.ended_s, second.started_s, second.first_epoch_s]
    times_s.append(second.ended_s)
    assert times_s == sorted(times_s)  # type: ignore[type-var]
    assert (first.ended_s or 0) - first.started_s < 60
    assert second.started_s - (first.ended_s or 0) < 60, "the driver in which the clock jumped"
    assert (second.ended_s or 0) - (second.first_epoch_s or 0) < 60


def test_a_trial_starts_until_its_first_step_and_again_under_the_next_driver(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for trial in ("t00000", "t00001", "t00002"):
        journal.append("trial", trial=trial, kind="search", params={}, seed=0, of=None)
    assert journal.state.trials["t00000"].shown_state == "starting"
    journal.append("stepped", trial="t00000")
    # The first look at the slots may come after the first epoch.
    journal.append("epoch", trial="t00001", metrics={"epoch": 1.0, "val_error_pct": 1.0, "val_nll": 1.0})
    journal.append("ended", trial="t00002", state="failed", reason="")
    states = {trial: record.shown_state for trial, record in journal.state.trials.items()}
    assert states == {"t00000": "running", "t00001": "running", "t00002": "failed"}
    journal.append("driver", owner="ann@desk")
    journal.close()
    states = {trial: record.shown_state for trial, record in read_state(path).trials.items()}
    assert states == {"t00000": "starting", "t00001": "starting", "t00002": "failed"}
