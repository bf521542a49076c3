from typing import Any

import pytest

from orchestrator.report.figures.hypervolume import hypervolumes


def test_hypervolume_is_the_area_that_comparable_trials_dominate(new_study: Any) -> None:
    study = new_study(constraints=[])
    at = [(50.0, 40.0), (60.0, 30.0), (20.0, 10.0), (40.0, 60.0)]
    for place, (error, score) in enumerate(at):
        study.trial(f"t{place:05d}", 10.0, val_error_pct=error, interp_centered_pct=score)
    study.trial("t00004", 10.0, val_error_pct=1.0, interp_centered_pct=99.0, epochs=2, state="stopped")
    found = hypervolumes(study.spec, study.state.of_kind("search"))
    # (100-50)·40; nothing for a dominated point; 10 points of score at error 20, 30 at 50; then 10 at 20 and 50 at 40.
    expected = [50 * 40, 50 * 40, 80 * 10 + 50 * 30, 80 * 10 + 60 * 50, 80 * 10 + 60 * 50]
    assert found == pytest.approx([area / 1e4 for area in expected])
