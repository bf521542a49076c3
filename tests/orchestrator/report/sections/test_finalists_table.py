from typing import Any

from orchestrator.report.sections.finalists_table import finalists_table
from orchestrator.status.summary import finalist_rows


def cells(table: Any, row: int) -> dict[str, str]:
    return dict(zip(table.columns, table.rows[row].cells, strict=True))


def test_finalists_show_mean_and_spread_over_seeds_and_which_is_best(finished: Any) -> None:
    table = finalists_table(finalist_rows(finished.state.of_kind("finalist")), "t00003")
    best = cells(table, 0)
    assert best["finalist"] == "t00003 (best)"
    assert best["seeds"] == "1, 2"
    assert best["val error %"] == "21.50 ± 0.71"
    assert best["test error %"] == "23.00 ± 0.71"
    assert best["attention in mask % (mask's area)"] == "31.0 ± 0.0 (14.0)"
    assert "lambda_q = 0.26" in best["parameters"]


def test_a_finalist_shows_how_many_of_its_seeds_are_done(new_study: Any) -> None:
    study = new_study()
    study.trial("f00000-seed1", 20.0, kind="finalist", of="t00000", seed=1)
    study.trial("f00000-seed2", 20.0, kind="finalist", of="t00000", seed=2, epochs=1, state=None)
    study.trial("f00001-seed1", 20.0, kind="finalist", of="t00001", seed=1, epochs=1, state="failed")
    table = finalists_table(finalist_rows(study.state.of_kind("finalist")), None)
    assert cells(table, 0)["seeds"] == "1, 2 (1 of 2 done)"
    assert cells(table, 0)["val error %"] == "20.00", "a single seed has no spread"
    assert cells(table, 1)["val error %"] == "–"
    assert [row.faint for row in table.rows] == [False, True]
