"""The benchmarks that start Ray or a server, at a small scale."""

from pathlib import Path

import pytest

from tests.support.benchmark_script import quick

pytestmark = [pytest.mark.slow, pytest.mark.minutes, pytest.mark.timeout(600)]


@pytest.mark.ray
def test_framework_overhead_trains_to_the_same_bits() -> None:
    figure = quick("systems.framework_overhead")
    assert figure["name"] == "framework_overhead"
    assert figure["details"]["equal_to_the_last_bit"] is True


@pytest.mark.ray
def test_trial_overhead_runs_slots_and_the_documented_pattern() -> None:
    figure = quick("systems.trial_overhead")
    assert figure["name"] == "trial_overhead_1_worker"
    assert figure["details"]["further_trials"] == {"ours": 3, "other": 1}


@pytest.mark.ray
def test_orchestrator_scale_records_every_trial_and_resumes() -> None:
    figure = quick("systems.orchestrator_scale")
    assert figure["name"] == "orchestrator_scale"
    assert set(figure["details"]["scales"]) == {"4", "8"}
    assert all(scale["resume_s"] > 0 for scale in figure["details"]["scales"].values())


@pytest.mark.ray
def test_ddp_scaling_compares_equal_threads() -> None:
    figure = quick("systems.ddp_scaling")
    assert figure["name"] == "ddp_scaling"
    assert set(figure["details"]["images_per_s"]) == {"one worker", "two workers"}


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_chaos_kills_a_search_and_finds_nothing_changed(tmp_path: Path) -> None:
    figure = quick("systems.chaos", "--root", str(tmp_path))
    assert figure["name"] == "chaos"
    assert figure["details"]["kills"] == sum(figure["details"]["hit"].values()) == 1
    assert list(tmp_path.iterdir()) == [], "what was right is removed"


@pytest.mark.ray
def test_recovery_kills_every_process_of_a_trial_and_misses_no_epoch() -> None:
    figure = quick("systems.recovery")
    assert figure["name"] == "recovery"
    assert {len(times) for times in figure["details"]["recovered_s"].values()} == {1}
    assert len(figure["details"]["recovered_s"]) == 4


def test_tracking_sends_at_most_a_request_per_result_and_never_from_the_caller() -> None:
    figure = quick("systems.tracking")
    assert figure["name"] == "tracking_results_per_s"
    assert set(figure["details"]["stores"]) == {"sqlite", "server"}
    for store in figure["details"]["stores"].values():
        assert 0 < store["requests_per_trial_and_epoch"] <= 1
        assert set(store["requests_by_thread"]) == {"tracking-delivery"}


def test_search_efficiency_replays_every_sampler() -> None:
    figure = quick("systems.search_efficiency")
    details = figure["details"]
    assert figure["other"] == 12
    assert set(details["epochs_by_search_seed"]) == {"tpe", "gp", "random"}
    assert len(details["rank_correlation_epoch_to_end"]) == 3
