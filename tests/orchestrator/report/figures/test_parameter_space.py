from typing import Any

from orchestrator.report.figures.parameter_space import contour_figure, in_space, parallel_figure, slices_figure
from orchestrator.report.page.svg import themed_svg

KEYS = ["bottleneck.beta", "bottleneck.latent_dim", "attention.lambda_q"]


def test_parallel_coordinates_colour_only_what_may_be_compared(varied: Any) -> None:
    search = varied.state.of_kind("search")
    other, _, full = parallel_figure(varied.spec, search, KEYS).axes[0].collections
    assert len(other.get_paths()) == 1
    assert len(full.get_paths()) == 20
    first = full.get_paths()[0].vertices
    # β = 1 is at the upper end of its axis, K = 16 and the least lambda_q at the lower end, the best error too.
    assert first.tolist() == [[0, 1], [1, 0], [2, 0], [3, 0]]


def test_parallel_coordinates_of_grey_trials_alone_span_their_values_and_have_no_colour_bar(new_study: Any) -> None:
    study = new_study(constraints=[])
    for place, level in enumerate((30.0, 60.0, 90.0)):
        study.trial(f"t{place:05d}", level, epochs=2, state="stopped", val_error_pct=level)
    figure = parallel_figure(study.spec, study.state.of_kind("search"), KEYS)
    (axes,) = figure.axes
    ends = [float(path.vertices[-1, 1]) for path in axes.collections[0].get_paths()]
    assert ends == [0.0, 0.5, 1.0]
    assert {"30", "90"} <= {text.get_text() for text in axes.texts}


def test_every_parameter_has_a_slice_with_all_trials(varied: Any) -> None:
    figure = slices_figure(varied.spec, varied.state.of_kind("search"), KEYS)
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_visible()] == ["beta", "latent_dim", "lambda_q"]
    for axes in figure.axes[:3]:
        assert sum(len(dots.get_offsets()) for dots in axes.collections) == 21


def test_a_contour_needs_a_plane_of_trials(varied: Any, new_study: Any) -> None:
    search = varied.state.of_kind("search")
    assert contour_figure(varied.spec, search, ("bottleneck.beta", "attention.lambda_q")) is not None
    on_a_line = new_study(constraints=[])
    for place in range(12):
        on_a_line.trial(f"t{place:05d}", 20.0 + place)
    lying = on_a_line.state.of_kind("search")
    assert contour_figure(on_a_line.spec, lying, ("bottleneck.beta", "attention.lambda_q")) is None


def test_a_crowd_of_trials_is_one_embedded_picture(new_study: Any) -> None:
    study = new_study(trials=3000)
    for place in range(900):
        study.trial(f"t{place:05d}", 20.0 + place % 50, epochs=1, state="stopped")
    drawn = themed_svg(slices_figure(study.spec, study.state.of_kind("search"), KEYS))
    assert drawn.count(b"<image") == 3
    assert len(drawn) < 400_000


def test_a_value_outside_the_space_has_no_place(new_study: Any) -> None:
    study = new_study()
    for place, beta in enumerate((0.01, 0.02)):
        study.trial(f"t{place:05d}", 30.0, params={**dict.fromkeys(KEYS, 0.1), "bottleneck.beta": beta, KEYS[1]: 32})
    inside, outside = study.state.of_kind("search")
    assert in_space(study.spec, inside)
    assert not in_space(study.spec, outside)
