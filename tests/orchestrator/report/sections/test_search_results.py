from typing import Any

from orchestrator.report.page.document import Picture, Text
from orchestrator.report.sections.search_results import search_blocks


def test_history_is_described_with_the_number_of_trials_of_each_group(finished: Any) -> None:
    view = finished.view()
    history, tradeoff, *_ = search_blocks(view)
    assert isinstance(history, Picture)
    assert isinstance(tradeoff, Picture)
    assert "3 full length, 1 breaks a constraint, 2 stopped early, 1 failed, 1 running" in history.alt
    assert "goes from 30.9 (trial 1 in order) to 21.9 (trial 4)" in history.alt
    assert "2 on the Pareto front: t00003" in tradeoff.alt


def test_a_search_without_interpretability_draws_no_tradeoff(finished: Any) -> None:
    for record in finished.state.trials.values():
        for row in record.history:
            row.pop("interp_centered_pct")
    view = finished.view()
    history, note, *_ = search_blocks(view)
    assert isinstance(history, Picture)
    assert isinstance(note, Text)
    assert "not scored" in note.text
