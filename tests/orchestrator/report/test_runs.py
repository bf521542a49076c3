from typing import Any

from orchestrator.report.runs import choose_run


def test_the_best_finalist_is_shown_over_its_seeds_and_by_its_best_one(finished: Any) -> None:
    subject = choose_run(finished.view())
    assert subject is not None
    assert (subject.trial, subject.num_seeds, subject.record.trial) == ("t00003", 2, "f00003-seed1")
    assert subject.mean["final_test_error_pct"] == 23.0
    assert subject.config.seed == 1
    assert subject.config.bottleneck.latent_dim == 32
    assert subject.config.epochs == 6


def test_without_a_finished_finalist_the_best_trial_of_the_search_is_shown(finished: Any) -> None:
    for record in finished.state.of_kind("finalist"):
        record.state = "failed"
    subject = choose_run(finished.view())
    assert subject is not None
    assert (subject.trial, subject.num_seeds, subject.config.seed) == ("t00003", 0, 0)
    assert set(subject.std.values()) == {None}


def test_a_study_of_stopped_trials_has_nothing_to_show(new_study: Any) -> None:
    study = new_study()
    study.trial("t00000", 10.0, epochs=2, state="stopped")
    assert choose_run(study.view()) is None
