"""The journal: what a kill leaves of it is still a study."""

from pathlib import Path

from orchestrator.journal import Journal, read_state


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
