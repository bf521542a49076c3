from typing import Any

from orchestrator.report.runs import find_subject


def test_the_best_finalist_is_shown_over_its_seeds_and_by_its_best_one(told: Any) -> None:
    subject = find_subject(told.view())
    assert subject is not None
    assert (subject.trial, subject.num_seeds, subject.shown.trial) == ("t00003", 2, "f00003-seed1")
    assert subject.mean["final_test_error_pct"] == 23.0
    assert subject.config.seed == 1
    assert subject.config.bottleneck.latent_dim == 32
    assert subject.config.epochs == 6


def test_without_a_finished_finalist_the_best_trial_of_the_search_is_shown(told: Any) -> None:
    for record in told.state.of_kind("finalist"):
        record.state = "failed"
    subject = find_subject(told.view())
    assert subject is not None
    assert (subject.trial, subject.num_seeds, subject.config.seed) == ("t00003", 0, 0)
    assert set(subject.std.values()) == {None}


def test_a_study_of_stopped_trials_has_nothing_to_show(story: Any) -> None:
    study = story()
    study.trial("t00000", 10.0, epochs=2, state="stopped")
    assert find_subject(study.view()) is None
