"""The journal: what a kill leaves of it is still a study."""

from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.journal import Journal, read_state
from tests.full_disk import KINDS, small_disk
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
