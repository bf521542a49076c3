from typing import Any

from orchestrator.report.figures.history import best_so_far


def test_best_so_far_counts_full_length_feasible_trials_only(finished: Any) -> None:
    found = best_so_far(finished.spec, finished.state.of_kind("search"))
    assert [place for place, _ in found] == [1, 4], "t00002 is better but breaks a constraint"
    assert found[0][1] > found[1][1]


def test_best_so_far_rises_where_the_objective_is_maximised(new_study: Any) -> None:
    study = new_study(objectives=[{"metric": "interp_centered_pct", "goal": "maximize"}], scheduler="none")
    for place, score in enumerate((40.0, 30.0, 60.0, 50.0)):
        study.trial(f"t{place:05d}", 30.0, interp_centered_pct=score)
    assert best_so_far(study.spec, study.state.of_kind("search")) == [(1, 40.0), (3, 60.0)]
