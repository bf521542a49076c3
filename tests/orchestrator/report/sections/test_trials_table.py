import csv
import io
from typing import Any

from orchestrator.report.page.document import spread
from orchestrator.report.tables import finalists_table, short_names, trials_csv, trials_table
from orchestrator.status.summary import finalist_rows


def cells(table: Any, row: int) -> dict[str, str]:
    return dict(zip(table.columns, table.rows[row].cells, strict=True))


def test_trials_table_greys_what_is_not_compared_and_says_why(told: Any) -> None:
    table = trials_table(told.spec, told.state.of_kind("search"))
    faint = [row.cells[0] for row in table.rows if row.faint]
    assert faint == ["t00001", "t00002", "t00004", "t00005", "t00007"]
    assert cells(table, 2)["state"] == "infeasible"
    assert cells(table, 2)["remark"] == "breaks the constraint val_attention_std at least 0.02"
    assert cells(table, 5)["remark"] == "the loss is not finite in epoch 2; lower optim.lr"
    assert cells(table, 3)["lambda_q"] == "0.26"
    assert cells(table, 3)["epochs"] == "6"


def test_trials_that_vary_in_different_fields_share_a_table(story: Any) -> None:
    study = story()
    study.trial("t00000", 30.0, params={"bottleneck.beta": 0.1})
    study.trial("t00001", 30.0, params={"data.train_images": None})
    table = trials_table(study.spec, study.state.of_kind("search"))
    assert cells(table, 0)["train_images"] == "–"
    assert cells(table, 1)["train_images"] == "null"


def test_fields_that_end_alike_keep_their_whole_name() -> None:
    assert short_names(["data.name", "model.name", "optim.lr"]) == ["data.name", "model.name", "lr"]


def test_finalists_show_mean_and_spread_over_seeds_and_which_is_best(told: Any) -> None:
    table = finalists_table(finalist_rows(told.state.of_kind("finalist")), "t00003")
    best = cells(table, 0)
    assert best["finalist"] == "t00003 (best)"
    assert best["seeds"] == "1, 2"
    assert best["val error %"] == "21.50 ± 0.71"
    assert best["test error %"] == "23.00 ± 0.71"
    assert best["attention in mask % (mask's area)"] == "31.0 ± 0.0 (14.0)"
    assert "lambda_q = 0.26" in best["parameters"]


def test_a_finalist_tells_how_many_of_its_seeds_are_done(story: Any) -> None:
    study = story()
    study.trial("f00000-seed1", 20.0, kind="finalist", of="t00000", seed=1)
    study.trial("f00000-seed2", 20.0, kind="finalist", of="t00000", seed=2, epochs=1, state=None)
    study.trial("f00001-seed1", 20.0, kind="finalist", of="t00001", seed=1, epochs=1, state="failed")
    table = finalists_table(finalist_rows(study.state.of_kind("finalist")), None)
    assert cells(table, 0)["seeds"] == "1, 2 (1 of 2 done)"
    assert cells(table, 0)["val error %"] == "20.00", "a single seed has no spread"
    assert cells(table, 1)["val error %"] == "–"
    assert [row.faint for row in table.rows] == [False, True]


def test_csv_holds_every_trial_with_full_precision(told: Any) -> None:
    records = list(told.state.trials.values())
    rows = list(csv.DictReader(io.StringIO(trials_csv({"demo": records}))))
    assert [row["trial"] for row in rows] == list(told.state.trials)
    best = told.state.trials["f00003-seed1"]
    found = rows[[row["trial"] for row in rows].index("f00003-seed1")]
    assert float(found["final_test_error_pct"]) == best.outcome["final_test_error_pct"]
    assert float(found["params.attention.lambda_q"]) == best.params["attention.lambda_q"]
    assert (found["kind"], found["of"], found["state"]) == ("finalist", "t00003", "completed")
    assert rows[1]["final_test_error_pct"] == "", "what a stopped trial never had stays empty"


def test_spread_of_the_unknown_is_a_dash() -> None:
    assert [spread(None, None), spread(1.0, None), spread(1.0, 0.25)] == ["–", "1.00", "1.00 ± 0.25"]
