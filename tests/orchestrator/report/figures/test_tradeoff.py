from typing import Any

import pytest

from orchestrator.report.figures.looks import standing
from orchestrator.report.figures.search_figures import best_so_far, history_figure, tradeoff_figure, tradeoff_front
from orchestrator.report.page.svg import themed_svg


def lines(figure: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def dots(figure: Any) -> dict[str, Any]:
    return {dots.get_label(): dots for dots in figure.axes[0].collections}


def test_best_so_far_counts_full_length_feasible_trials_only(told: Any) -> None:
    found = best_so_far(told.spec, told.state.of_kind("search"))
    assert [place for place, _ in found] == [1, 4], "t00002 is better but breaks a constraint"
    assert found[0][1] > found[1][1]


def test_best_so_far_rises_where_the_objective_is_maximised(story: Any) -> None:
    study = story(objectives=[{"metric": "interp_centered_pct", "goal": "maximize"}], scheduler="none")
    for place, score in enumerate((40.0, 30.0, 60.0, 50.0)):
        study.trial(f"t{place:05d}", 30.0, interp_centered_pct=score)
    assert best_so_far(study.spec, study.state.of_kind("search")) == [(1, 40.0), (3, 60.0)]


def test_trials_differ_by_marker_and_not_by_colour_alone(told: Any) -> None:
    groups = dots(history_figure(told.spec, told.state.of_kind("search")))
    assert set(groups) == {"full length", "breaks a constraint", "stopped early", "failed", "running"}
    shapes = [collection.get_paths()[0].vertices.tobytes() for collection in groups.values()]
    assert len(set(shapes)) == len(shapes)
    assert len(groups["stopped early"].get_offsets()) == 2


def test_front_holds_what_nothing_beats_in_both_and_never_a_stopped_or_infeasible_trial(told: Any) -> None:
    search = told.state.of_kind("search")
    assert [record.trial for record in tradeoff_front(told.spec, search)] == ["t00003", "t00006"]
    best = told.state.trials["t00003"]
    told.trial("t00008", 1.0, epochs=5, state="stopped", interp_centered_pct=99.0)
    assert tradeoff_front(told.spec, told.state.of_kind("search"))[0] is best
    front = lines(tradeoff_figure(told.spec, search))["Pareto front"]
    assert [round(x, 1) for x in front.get_xdata()] == [round(best.outcome["val_error_pct"], 1), 26.9]


@pytest.mark.parametrize("names", [(), ("t00007",)], ids=["no-trial", "a-running-trial"])
def test_figures_of_what_cannot_be_compared_have_no_line(told: Any, names: tuple[str, ...]) -> None:
    search = [told.state.trials[name] for name in names]
    for figure in (history_figure(told.spec, search), tradeoff_figure(told.spec, search)):
        assert lines(figure) == {}
        assert b"<svg" in themed_svg(figure)


def test_every_trial_of_the_search_has_one_standing(told: Any) -> None:
    search = told.state.of_kind("search")
    groups = standing(told.spec, search)
    assert sum(map(len, groups.values())) == len(search)
    assert [record.trial for record in groups["breaks a constraint"]] == ["t00002"]
