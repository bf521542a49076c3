from typing import Any

import pytest

from orchestrator.report.figures.timeline import cost, lanes, timeline_figure


def test_a_trial_takes_the_first_lane_that_is_free(new_study: Any) -> None:
    study = new_study()
    times = {"a": (0, 10), "b": (1, 4), "c": (5, 8), "d": (6, None), "e": (11, 12)}
    for name, (start, end) in times.items():
        study.trial(name, 30.0, epochs=1, state=None)
        record = study.state.trials[name]
        record.started_s, record.ended_s = float(start), None if end is None else float(end)
        record.first_epoch_s = None
        record.state = "running" if end is None else "completed"
    placed = {record.trial: lane for lane, record in lanes(list(study.state.trials.values()))}
    assert placed == {"a": 0, "b": 1, "c": 1, "d": 2, "e": 0}
    axes = timeline_figure(list(study.state.trials.values())).axes[0]
    assert sum(len(bars.get_paths()) for bars in axes.collections) == 5


def test_cost_is_epochs_and_hours_of_workers(new_study: Any) -> None:
    study = new_study()
    study.trial("t00000", 30.0, num_workers=2.0)
    study.trial("t00001", 30.0, epochs=2, state="stopped", num_workers=4.0)
    records = list(study.state.trials.values())
    found = cost(study.spec, records, 6)
    assert (found.epochs, found.full_length_epochs) == (8, 12)
    # Events are 30 s apart and the first epoch begins 1 s before its event: 181 s and 61 s within 301 s.
    assert found.worker_hours == pytest.approx((2 * 181 + 4 * 61) / 3600)
    assert found.busy_share == pytest.approx(242 / 301)
    study.trial("t00002", 30.0, epochs=1, state=None)
    found = cost(study.spec, list(study.state.trials.values()), 6)
    assert (found.epochs, found.full_length_epochs) == (9, 13), "what a running trial has not trained yet is not saved"


def test_a_trial_that_waits_for_a_slot_does_not_run_yet(new_study: Any) -> None:
    study = new_study()
    for name in ("a", "b"):
        study.event("trial", trial=name, kind="search", params={}, seed=0, of=None)
    for name in ("a", "b"):
        study.event("epoch", trial=name, metrics={"epoch": 1.0, "epoch_s": 20.0, "val_error_pct": 1.0, "val_nll": 1.0})
        study.event("ended", trial=name, state="completed", reason="")
    assert [lane for lane, _ in lanes(list(study.state.trials.values()))] == [0, 0]
