from typing import Any

from orchestrator.report.sections.trials_table import trials_table


def cells(table: Any, row: int) -> dict[str, str]:
    return dict(zip(table.columns, table.rows[row].cells, strict=True))


def test_trials_table_greys_what_is_not_compared_and_says_why(finished: Any) -> None:
    table = trials_table(finished.spec, finished.state.of_kind("search"))
    faint = [row.cells[0] for row in table.rows if row.faint]
    assert faint == ["t00001", "t00002", "t00004", "t00005", "t00007"]
    assert cells(table, 2)["state"] == "infeasible"
    assert cells(table, 2)["remark"] == "breaks the constraint val_attention_std at least 0.02"
    assert cells(table, 5)["remark"] == "the loss is not finite in epoch 2; lower optim.lr"
    assert cells(table, 3)["lambda_q"] == "0.26"
    assert cells(table, 3)["epochs"] == "6"


def test_trials_that_vary_in_different_fields_share_a_table(new_study: Any) -> None:
    study = new_study()
    study.trial("t00000", 30.0, params={"bottleneck.beta": 0.1})
    study.trial("t00001", 30.0, params={"data.train_images": None})
    table = trials_table(study.spec, study.state.of_kind("search"))
    assert cells(table, 0)["train_images"] == "–"
    assert cells(table, 1)["train_images"] == "null"
