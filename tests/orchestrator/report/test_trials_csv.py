import csv
import io
from typing import Any

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
