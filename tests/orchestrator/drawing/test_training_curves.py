from orchestrator.drawing.training_curves import curves_figure
from tests.support.drawn_figure import drawn
from trainables import metrics


def test_curves_show_the_known_metrics_at_their_epochs_and_leave_out_the_rest():
    history = [
        {"epoch": 3, "train_loss": 2.0, "val_error_pct": 80.0, "val_nll": float("nan")},
        {"epoch": 4, "train_loss": 1.0, "val_error_pct": 60.0, "interp_centered_pct": 40.0, "lr": 0.1},
    ]
    figure = curves_figure(history)
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    assert set(lines) == {"train_loss", "val_error_pct", "interp_centered_pct"}
    assert lines["train_loss"].get_xydata().tolist() == [[3, 2.0], [4, 1.0]]
    assert lines["interp_centered_pct"].get_xydata().tolist() == [[4, 40.0]]
    assert drawn(figure).width > 100


def test_curves_of_one_panel_differ_without_colour():
    history = [dict.fromkeys(metrics.SEARCHABLE, 1.0)]
    for axes in curves_figure(history).axes:
        looks = [(line.get_marker(), str(line.get_linestyle())) for line in axes.get_lines()]
        assert len(set(looks)) == len(looks)


def test_curves_of_an_empty_history_say_so():
    assert "no epoch" in curves_figure([]).texts[0].get_text()
