from orchestrator.drawing.interpretability_curves import interpretability_figure
from tests.support.drawn_figure import drawn
from trainables import metrics


def test_interpretability_figure_draws_the_scores_and_chance_of_each_reading():
    scores = {name: float(place % 100) for place, name in enumerate(metrics.INTERPRETABILITY)}
    figure = interpretability_figure(scores)
    assert [len(axes.get_lines()) for axes in figure.axes] == [11, 11, 11]
    chance = figure.axes[2].get_lines()[-1]
    assert list(chance.get_ydata()) == [scores[f"interp_centered_chance_{t}"] for t in metrics.INTERP_CURVE]
    assert drawn(figure).width > 100
