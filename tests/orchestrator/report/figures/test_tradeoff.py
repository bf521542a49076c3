from typing import Any

import pytest

from orchestrator.report.figures.history import history_figure
from orchestrator.report.figures.tradeoff import tradeoff_figure, tradeoff_front
from orchestrator.report.page.svg import themed_svg


def lines(figure: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def dots(figure: Any) -> dict[str, Any]:
    return {dots.get_label(): dots for dots in figure.axes[0].collections}


def test_trials_differ_by_marker_and_not_by_colour_alone(finished: Any) -> None:
    groups = dots(history_figure(finished.spec, finished.state.of_kind("search")))
    assert set(groups) == {"full length", "breaks a constraint", "stopped early", "failed", "running"}
    shapes = [collection.get_paths()[0].vertices.tobytes() for collection in groups.values()]
    assert len(set(shapes)) == len(shapes)
    assert len(groups["stopped early"].get_offsets()) == 2


def test_front_holds_what_nothing_beats_in_both_and_never_a_stopped_or_infeasible_trial(finished: Any) -> None:
    search = finished.state.of_kind("search")
    assert [record.trial for record in tradeoff_front(finished.spec, search)] == ["t00003", "t00006"]
    best = finished.state.trials["t00003"]
    finished.trial("t00008", 1.0, epochs=5, state="stopped", interp_centered_pct=99.0)
    assert tradeoff_front(finished.spec, finished.state.of_kind("search"))[0] is best
    front = lines(tradeoff_figure(finished.spec, search))["Pareto front"]
    assert [round(x, 1) for x in front.get_xdata()] == [round(best.outcome["val_error_pct"], 1), 26.9]


@pytest.mark.parametrize("names", [(), ("t00007",)], ids=["no-trial", "a-running-trial"])
def test_figures_of_what_cannot_be_compared_have_no_line(finished: Any, names: tuple[str, ...]) -> None:
    search = [finished.state.trials[name] for name in names]
    for figure in (history_figure(finished.spec, search), tradeoff_figure(finished.spec, search)):
        assert lines(figure) == {}
        assert b"<svg" in themed_svg(figure)
