import matplotlib
import numpy as np

from orchestrator.drawing.attention_figure import attention_figure
from orchestrator.drawing.training_curves import curves_figure
from tests.support.drawn_figure import drawn
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


def test_a_class_name_is_text_and_no_formula():
    """matplotlib refuses what is no formula between two dollar signs, and obeys what is one."""
    figure = attention_figure(panels(1), ["$\\frac$", "\x1b[31m$x$\u202e\nb"])
    assert drawn(figure).width > 500
    caption = figure.axes[0].texts[1]
    assert caption.get_text().startswith("\\$\\frac\\$ (true: \\x1b[31m\\$x\\$\\u202e\\nb)")


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams), matplotlib.rcParams._get_backend_or_none()
    drawn(attention_figure(panels(1)))
    drawn(curves_figure([{"train_loss": 1.0}]))
    assert (dict(matplotlib.rcParams), matplotlib.rcParams._get_backend_or_none()) == before
