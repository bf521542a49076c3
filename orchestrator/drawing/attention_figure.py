"""The attention figure: examples, clean and modified, each beside its attention map."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from orchestrator.drawing.label import label
from orchestrator.drawing.overlay import enlarged_size, overlay
from trainables.interpretability.examples import CLEAN, Panels

_CELL_IN = (2.9, 1.8)
"""Width and height in inches of an example with its overlay and caption; square images fill the width."""
_HEAD_IN, _GAP_IN = 0.45, 0.08


def attention_figure(panels: Panels, class_names: Sequence[str] | None = None, pixels_per_image: int = 128) -> Figure:
    """Draws one row per example and one column per modification: the image and, beside it, its overlay.

    Each caption names the predicted class, says whether class and map equal those of the clean image, and gives the
    cosine of the two maps, min-max and mean-centred.
    """
    num_rows, num_columns = panels.predicted_NK.shape
    width, height = _CELL_IN[0] * num_columns, _HEAD_IN + _CELL_IN[1] * num_rows
    figure = Figure(figsize=(width, height))
    # One pair of axes, in inches from the top left, for all pictures: a pair per picture takes three times as long.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for column, name in enumerate(panels.columns):
        middle = _CELL_IN[0] * (column + 0.5)
        axes.text(middle, _HEAD_IN, column_heading(name), fontsize=9, weight="bold", ha="center", va="bottom")
        for row in range(num_rows):
            image_HWC, map_hw = panels.images_NKHWC[row, column], panels.maps_NKhw[row, column]
            size = enlarged_size(image_HWC, pixels_per_image)
            enlarged = np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.NEAREST))
            pair_HWC = np.concatenate([enlarged, overlay(image_HWC, map_hw, pixels_per_image)], axis=1)
            bottom = _HEAD_IN + _CELL_IN[1] * (row + 1)
            wide = _CELL_IN[0] - 2 * _GAP_IN
            top = bottom - wide * pair_HWC.shape[0] / pair_HWC.shape[1]
            extent = (middle - wide / 2, middle + wide / 2, bottom, top)
            axes.imshow(pair_HWC, extent=extent, aspect="auto", interpolation="nearest")
            caption = _caption(panels, row, column, class_names)
            axes.text(middle, top - _GAP_IN, caption, fontsize=8, ha="center", va="bottom")
    # Set last, because every imshow call changes the limits.
    axes.set(xlim=(0, width), ylim=(height, 0))
    figure.suptitle("Attention: dark is least, each map over its own range", fontsize=9, y=1 - 0.05 / height, va="top")
    return figure


def column_heading(column: str) -> str:
    """A column of `Panels` in words: CLEAN or a modification of `metrics.MODIFICATIONS`."""
    if column == CLEAN:
        return CLEAN
    kind, amount = column.removeprefix("interp_").rsplit("_", 1)
    words = {"color": "colour window", "svhn": "image window", "high": "high frequencies", "low": "low frequencies"}
    signs = {
        "color": f"{amount[1:]} px",
        "svhn": f"{amount[1:]} px",
        "high": f"r ≥ {amount[1:]}",
        "low": f"r < {amount[1:]}",
    }
    return f"{words[kind]}, {signs[kind]}"


def _caption(panels: Panels, row: int, column: int, class_names: Sequence[str] | None) -> str:
    def named(index: int) -> str:
        return label(class_names[index]) if class_names else f"class {index}"

    predicted = named(panels.predicted_NK[row, column])
    if column == 0:
        map_hw = panels.maps_NKhw[row, column]
        truth = "" if panels.labels_N is None else f" (true: {named(panels.labels_N[row])})"
        return f"{predicted}{truth}\nmap {map_hw.min():.3f} to {map_hw.max():.3f}"
    minmax, centered = panels.minmax_cosine_NK[row, column], panels.centered_cosine_NK[row, column]
    same_class = "=" if panels.predicted_NK[row, column] == panels.predicted_NK[row, 0] else "≠"
    same_map = "=" if minmax >= panels.threshold else "≠"
    return f"{predicted}: class {same_class}, map {same_map}\ncosine {minmax:.2f}, centred {centered:.2f}"
