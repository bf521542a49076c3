import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from orchestrator.drawing.figures import attention_figure, curves_figure, interpretability_figure, overlay_png
from trainables import metrics
from trainables.interpretability.examples import CLEAN, SHOWN, Panels

RAMP = np.tile(np.linspace(0.5, 0.9, 8, dtype=np.float32), (8, 1))


def panels(rows: int = 2) -> Panels:
    columns = (CLEAN, *SHOWN)
    shape = (rows, len(columns))
    predicted = np.zeros(shape, dtype=np.int64)
    predicted[0, 2] = 1
    minmax = np.full(shape, 0.95)
    minmax[0, 3] = 0.42
    return Panels(
        columns=columns,
        images_NKHWC=np.random.default_rng(0).integers(0, 256, (*shape, 16, 16, 3), dtype=np.uint8),
        maps_NKhw=np.broadcast_to(RAMP, (*shape, 8, 8)),
        predicted_NK=predicted,
        minmax_cosine_NK=minmax,
        centered_cosine_NK=np.full(shape, 0.5),
        labels_N=np.array([1] * rows),
        threshold=0.9,
    )


def drawn(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return Image.open(buffer)


def test_attention_figure_has_one_picture_per_example_and_modification_with_its_verdict():
    figure = attention_figure(panels(), ["cat", "dog"])
    (axes,) = figure.axes
    said = [text.get_text() for text in axes.texts]
    assert len(axes.images) == 2 * 5
    assert len(said) == 2 * 5 + 5, "a caption each, and headings once over the first row"
    assert said[:3] == ["clean", "cat (true: dog)\nmap 0.500 to 0.900", "cat (true: dog)\nmap 0.500 to 0.900"]
    assert said[3:5] == ["colour window, 8 px", "cat: class =, map =\ncosine 0.95, centred 0.50"]
    assert "dog: class ≠, map =" in said[7]
    assert (said[9], said[10].startswith("cat: class =, map ≠")) == ("high frequencies, r ≥ 4", True)
    picture = figure.axes[0].images[0].get_array()
    assert picture.shape == (128, 256, 3)
    assert drawn(figure).width > 500


def test_attention_figure_names_classes_by_index_when_it_has_no_names():
    assert "class 0 (true: class 1)" in attention_figure(panels(1)).axes[0].texts[1].get_text()


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


def test_interpretability_figure_draws_the_scores_and_chance_of_each_reading():
    scores = {name: float(place % 100) for place, name in enumerate(metrics.INTERPRETABILITY)}
    figure = interpretability_figure(scores)
    assert [len(axes.get_lines()) for axes in figure.axes] == [11, 11, 11]
    chance = figure.axes[2].get_lines()[-1]
    assert list(chance.get_ydata()) == [scores[f"interp_centered_chance_{t}"] for t in metrics.INTERP_CURVE]
    assert drawn(figure).width > 100


@pytest.mark.parametrize(
    ("shape", "expected"), [((32, 32), (512, 256)), ((20, 30), (780, 260)), ((300, 300), (600, 300))]
)
def test_overlay_is_a_readable_png_that_is_brightest_where_attention_is_highest(
    shape: tuple[int, int], expected: tuple[int, int]
):
    image = np.full((*shape, 3), 100, dtype=np.uint8)
    picture = Image.open(io.BytesIO(overlay_png(image, RAMP)))
    assert picture.format == "PNG"
    assert picture.size == expected
    half = expected[0] // 2
    assert (np.asarray(picture)[:, :half] == 100).all()
    luminance = np.asarray(picture.convert("L"), dtype=float)[:, half:]
    assert luminance[:, -20:].mean() > luminance[:, :20].mean() + 60


def test_overlay_of_a_flat_map_is_even():
    picture = Image.open(io.BytesIO(overlay_png(np.full((32, 32, 3), 90, dtype=np.uint8), np.full((8, 8), 0.9))))
    heat = np.asarray(picture)[:, picture.width // 2 :]
    assert len(np.unique(heat.reshape(-1, 3), axis=0)) == 1


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams), matplotlib.rcParams._get_backend_or_none()
    drawn(attention_figure(panels(1)))
    drawn(curves_figure([{"train_loss": 1.0}]))
    assert (dict(matplotlib.rcParams), matplotlib.rcParams._get_backend_or_none()) == before
