import csv
import io
from typing import Any

import pytest

from orchestrator.report.trials_csv import trials_csv


def test_csv_holds_every_trial_with_full_precision(finished: Any) -> None:
    records = list(finished.state.trials.values())
    rows = list(csv.DictReader(io.StringIO(trials_csv({"demo": records}))))
    assert [row["trial"] for row in rows] == list(finished.state.trials)
    best = finished.state.trials["f00003-seed1"]
    found = rows[[row["trial"] for row in rows].index("f00003-seed1")]
    assert float(found["final_test_error_pct"]) == best.outcome["final_test_error_pct"]
    assert float(found["params.attention.lambda_q"]) == best.params["attention.lambda_q"]
    assert (found["kind"], found["of"], found["state"]) == ("finalist", "t00003", "completed")
    assert rows[1]["final_test_error_pct"] == "", "what a stopped trial never had stays empty"


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(evil: str, new_study: Any) -> None:
    study = new_study()
    study.trial(
        "t00000", 30.0, epochs=1, state="failed", reason=evil, params={"bottleneck.beta": -0.5, "model.name": evil}
    )
    (row,) = csv.DictReader(io.StringIO(trials_csv({"-demo": list(study.state.trials.values())}), newline=""))
    for cell in (row["study"], row["reason"], row["params.model.name"]):
        assert cell[0] == "'"
    assert float(row["params.bottleneck.beta"]) == -0.5, "a number stays one"
