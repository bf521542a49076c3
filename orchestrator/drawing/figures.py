"""Pictures for the record: attention maps, curves over epochs, interpretability scores. Matplotlib figures, no backend.

Figures are built as objects, so no global state of matplotlib is read or set and workers may draw in threads.
Colours are those of Okabe and Ito, which the colour-blind can tell apart; style and marker do so without colour.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from trainables import metrics
from trainables.interpretability.consistency import minmax_scale
from trainables.interpretability.examples import CLEAN, Panels

_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    {"color": "#0072B2", "linestyle": "-.", "marker": "^"},
    {"color": "#009E73", "linestyle": ":", "marker": "D"},
    {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#56B4E9", "linestyle": (0, (8, 2)), "marker": "x"},
)

_CURVES = (
    ("Loss", "per image", ("train_loss", "train_nll", "val_nll")),
    (
        "Bottleneck and quantiser",
        "nats; squared norm",
        ("train_kl_nats", "val_kl_nats", "train_codebook", "train_commitment"),
    ),
    ("Error", "%", ("val_error_pct", "test_error_pct")),
    ("Attention map", "std; entropy / ln(H W)", ("val_attention_std", "val_attention_entropy")),
    (
        "Interpretability",
        "%",
        ("interpretability_pct", "interp_chance_pct", "interp_centered_pct", "interp_centered_chance_pct"),
    ),
)

_CURVES_PER_ROW = 3

_READING_TITLES = {"minmax": "min-max maps (paper comparison)", "raw": "raw maps", "centered": "mean-centred maps"}

_CELL_IN = (2.9, 1.8)
"""Width and height of an example with its map and caption; square images fill the width."""
_HEAD_IN, _GAP_IN = 0.45, 0.08

_HEAT_SHARE = 0.65
"""How much of the overlay is heat; the rest is the image in grey, at half its contrast so that light means heat."""


def overlay_png(image_HWC: NDArray[np.uint8], map_hw: NDArray[np.float32], min_side_px: int = 256) -> bytes:
    """The image, and beside it in grey under its attention map as heat; each side at least `min_side_px`.

    The map is stretched to its own range, dark is least; a flat map is dark everywhere.
    """
    buffer = io.BytesIO()
    enlarged = Image.fromarray(image_HWC).resize(_enlarged_size(image_HWC, min_side_px), Image.Resampling.NEAREST)
    pair = np.concatenate([np.asarray(enlarged), overlay(image_HWC, map_hw, min_side_px)], axis=1)
    Image.fromarray(pair).save(buffer, format="PNG")
    return buffer.getvalue()


def overlay(image_HWC: NDArray[np.uint8], map_hw: NDArray[np.float32], min_side_px: int) -> NDArray[np.uint8]:
    """The image in grey under its map as an array; the image is enlarged by a whole factor."""
    size = _enlarged_size(image_HWC, min_side_px)
    grey = np.asarray(Image.fromarray(image_HWC).convert("L").resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    cells = minmax_scale(torch.from_numpy(np.array(map_hw, dtype=np.float64))[None]).reshape(map_hw.shape).numpy()
    heat = np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    colors_HWC = matplotlib.colormaps["inferno"](heat)[..., :3] * 255
    mixed = (1 - _HEAT_SHARE) * (64 + grey[..., None] / 2) + _HEAT_SHARE * colors_HWC
    return np.asarray(mixed.round().clip(0, 255), dtype=np.uint8)


def attention_figure(panels: Panels, class_names: Sequence[str] | None = None, pixels_per_image: int = 128) -> Figure:
    """One row per example, one column per modification: the image and, beside it, its attention map over it.

    The title tells the predicted class, whether the prediction and the map stayed those of the clean image, and the
    cosine of the maps, min-max and mean-centred.
    """
    num_rows, num_columns = panels.predicted_NK.shape
    width, height = _CELL_IN[0] * num_columns, _HEAD_IN + _CELL_IN[1] * num_rows
    figure = Figure(figsize=(width, height))
    # One pair of axes, in inches from the top left: one for each picture would take three times as long to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for column, name in enumerate(panels.columns):
        middle = _CELL_IN[0] * (column + 0.5)
        axes.text(middle, _HEAD_IN, column_heading(name), fontsize=9, weight="bold", ha="center", va="bottom")
        for row in range(num_rows):
            image_HWC, map_hw = panels.images_NKHWC[row, column], panels.maps_NKhw[row, column]
            size = _enlarged_size(image_HWC, pixels_per_image)
            enlarged = np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.NEAREST))
            pair_HWC = np.concatenate([enlarged, overlay(image_HWC, map_hw, pixels_per_image)], axis=1)
            bottom = _HEAD_IN + _CELL_IN[1] * (row + 1)
            wide = _CELL_IN[0] - 2 * _GAP_IN
            top = bottom - wide * pair_HWC.shape[0] / pair_HWC.shape[1]
            extent = (middle - wide / 2, middle + wide / 2, bottom, top)
            axes.imshow(pair_HWC, extent=extent, aspect="auto", interpolation="nearest")
            caption = _caption(panels, row, column, class_names)
            axes.text(middle, top - _GAP_IN, caption, fontsize=8, ha="center", va="bottom")
    # Last, since every picture sets them to its own.
    axes.set(xlim=(0, width), ylim=(height, 0))
    figure.suptitle("Attention: dark is least, each map over its own range", fontsize=9, y=1 - 0.05 / height, va="top")
    return figure


def curves_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss terms, errors, map contrast and interpretability over epochs; what is absent from the history is left out.

    history: one mapping of metrics per epoch; its `epoch`, or else its position from 1, is the abscissa.
    """
    shown = [(title, unit, [name for name in names if _points(history, name)[0]]) for title, unit, names in _CURVES]
    shown = [entry for entry in shown if entry[2]]
    num_columns = min(len(shown), _CURVES_PER_ROW)
    num_rows = -(-len(shown) // _CURVES_PER_ROW)
    figure = Figure(figsize=(4.4 * max(num_columns, 1), 3.3 * max(num_rows, 1)), layout="constrained")
    if not shown:
        figure.text(0.5, 0.5, "no epoch has been reported yet", ha="center", va="center")
        return figure
    for place, (title, unit, names) in enumerate(shown, 1):
        axes = figure.add_subplot(num_rows, num_columns, place)
        for name, style in zip(names, _STYLES, strict=False):
            epochs, values = _points(history, name)
            axes.plot(epochs, values, label=name, markersize=4, markevery=max(1, len(epochs) // 12), **style)
        axes.set(title=title, xlabel="epoch", ylabel=unit)
        if unit.startswith("nats"):
            axes.set_yscale("symlog", linthresh=1e-3)
        if unit == "%":
            low, high = axes.get_ylim()
            axes.set_ylim(min(0, low), high + 0.05 * (high - min(0, low)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=7)
    return figure


def interpretability_figure(scores: Mapping[str, float]) -> Figure:
    """Table 2 as curves: for each reading, the ten scores over the threshold on the cosine, with the chance level.

    scores: what `interpretability.score` returns.
    """
    figure = Figure(figsize=(4.6 * len(metrics.INTERP_READINGS), 4.0), layout="constrained")
    groups = (
        ("colour window", metrics.COLOR_OCCLUSIONS),
        ("image window", metrics.IMAGE_OCCLUSIONS),
        ("high frequencies", (metrics.HIGH_FREQUENCIES,)),
        ("low frequencies", (metrics.LOW_FREQUENCIES,)),
        ("different images (chance)", (metrics.INTERP_CHANCE,)),
    )
    thresholds = list(metrics.INTERP_CURVE.values())
    for axes, reading in zip(figure.subplots(1, len(metrics.INTERP_READINGS)), metrics.INTERP_READINGS, strict=True):
        for (label, subjects), style in zip(groups, _STYLES, strict=False):
            for place, subject in enumerate(subjects):
                values = [
                    scores[metrics.interp_metric(subject, reading, quantity)] for quantity in metrics.INTERP_CURVE
                ]
                axes.plot(thresholds, values, label=label if place == 0 else None, markersize=4 + 2 * place, **style)
        axes.set(title=_READING_TITLES[reading], xlabel="threshold on the cosine", ylabel="score (%)", ylim=(-3, 103))
        axes.set_xticks(thresholds)
        axes.grid(visible=True, alpha=0.3)
    sizes = ", ".join(map(str, metrics.OCCLUSION_SIZES_PX))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(groups), fontsize=8)
    figure.suptitle(f"Interpretability scores; larger marks are larger windows ({sizes} px)", fontsize=9)
    return figure


def _points(history: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    known = [(entry.get("epoch", place), entry[name]) for place, entry in enumerate(history, 1) if name in entry]
    finite = [(epoch, value) for epoch, value in known if np.isfinite(value)]
    return [epoch for epoch, _ in finite], [value for _, value in finite]


def _enlarged_size(image_HWC: NDArray[np.uint8], min_side_px: int) -> tuple[int, int]:
    """(width, height) after enlarging by the least whole factor that reaches `min_side_px`."""
    height, width = image_HWC.shape[:2]
    factor = -(-min_side_px // min(height, width))
    return width * factor, height * factor


def column_heading(column: str) -> str:
    """A modification in words, as `metrics.MODIFICATIONS` or CLEAN name it."""
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
        return class_names[index] if class_names else f"class {index}"

    predicted = named(panels.predicted_NK[row, column])
    if column == 0:
        map_hw = panels.maps_NKhw[row, column]
        truth = "" if panels.labels_N is None else f" (true: {named(panels.labels_N[row])})"
        return f"{predicted}{truth}\nmap {map_hw.min():.3f} to {map_hw.max():.3f}"
    minmax, centered = panels.minmax_cosine_NK[row, column], panels.centered_cosine_NK[row, column]
    same_class = "=" if panels.predicted_NK[row, column] == panels.predicted_NK[row, 0] else "≠"
    same_map = "=" if minmax >= panels.threshold else "≠"
    return f"{predicted}: class {same_class}, map {same_map}\ncosine {minmax:.2f}, centred {centered:.2f}"
