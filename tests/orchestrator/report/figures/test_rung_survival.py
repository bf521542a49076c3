from typing import Any

from orchestrator.report.figures.rung_survival import rungs


def test_rungs_count_who_reached_them_and_who_was_stopped_there(new_study: Any) -> None:
    study = new_study(scheduler={"name": "asha", "grace_epochs": 2, "reduction_factor": 2})
    study.trial("t00000", 30.0)
    study.trial("t00001", 55.0, epochs=2, state="stopped")
    study.trial("t00002", 55.0, epochs=4, state="stopped")
    study.trial("t00003", 55.0, epochs=1, state="failed")
    study.trial("t00004", 55.0, epochs=2, state=None)
    found = rungs(study.spec, study.state.of_kind("search"), 6)
    assert [tuple(rung) for rung in found] == [(2, 4, 3), (4, 2, 1), (6, 1, 1)]
