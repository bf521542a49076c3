from typing import Any

import pytest

from orchestrator.report.figures.course import cost, hypervolumes, lanes, rungs, timeline_figure


def test_rungs_count_who_reached_them_and_who_was_stopped_there(story: Any) -> None:
    study = story(scheduler={"name": "asha", "grace_epochs": 2, "reduction_factor": 2})
    study.trial("t00000", 30.0)
    study.trial("t00001", 55.0, epochs=2, state="stopped")
    study.trial("t00002", 55.0, epochs=4, state="stopped")
    study.trial("t00003", 55.0, epochs=1, state="failed")
    study.trial("t00004", 55.0, epochs=2, state=None)
    found = rungs(study.spec, study.state.of_kind("search"), 6)
    assert [tuple(rung) for rung in found] == [(2, 4, 3), (4, 2, 1), (6, 1, 1)]


def test_hypervolume_is_the_area_that_comparable_trials_dominate(story: Any) -> None:
    study = story(constraints=[])
    at = [(50.0, 40.0), (60.0, 30.0), (20.0, 10.0), (40.0, 60.0)]
    for place, (error, score) in enumerate(at):
        study.trial(f"t{place:05d}", 10.0, val_error_pct=error, interp_centered_pct=score)
    study.trial("t00004", 10.0, val_error_pct=1.0, interp_centered_pct=99.0, epochs=2, state="stopped")
    found = hypervolumes(study.spec, study.state.of_kind("search"))
    # (100-50)·40; nothing for a dominated point; 10 points of score at error 20, 30 at 50; then 10 at 20 and 50 at 40.
    expected = [50 * 40, 50 * 40, 80 * 10 + 50 * 30, 80 * 10 + 60 * 50, 80 * 10 + 60 * 50]
    assert found == pytest.approx([area / 1e4 for area in expected])


def test_a_trial_takes_the_first_lane_that_is_free(story: Any) -> None:
    study = story()
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


def test_cost_is_epochs_and_hours_of_workers(story: Any) -> None:
    study = story()
    study.trial("t00000", 30.0, num_workers=2.0)
    study.trial("t00001", 30.0, epochs=2, state="stopped", num_workers=4.0)
    records = list(study.state.trials.values())
    found = cost(study.spec, records, 6)
    assert (found.epochs, found.epochs_in_full) == (8, 12)
    # Half a minute an event, a second before the first epoch's: 181 s and 61 s within 301 s.
    assert found.worker_hours == pytest.approx((2 * 181 + 4 * 61) / 3600)
    assert found.busy_share == pytest.approx(242 / 301)
    study.trial("t00002", 30.0, epochs=1, state=None)
    found = cost(study.spec, list(study.state.trials.values()), 6)
    assert (found.epochs, found.epochs_in_full) == (9, 13), "what a running trial has not trained yet is not saved"


def test_a_trial_that_waits_for_a_slot_does_not_run_yet(story: Any) -> None:
    study = story()
    for name in ("a", "b"):
        study.tell("trial", trial=name, kind="search", params={}, seed=0, of=None)
    for name in ("a", "b"):
        study.tell("epoch", trial=name, metrics={"epoch": 1.0, "epoch_s": 20.0, "val_error_pct": 1.0, "val_nll": 1.0})
        study.tell("ended", trial=name, state="completed", reason="")
    assert [lane for lane, _ in lanes(list(study.state.trials.values()))] == [0, 0]
