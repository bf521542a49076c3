"""Figures of one finished trial: information against error, attention scores, confusion matrix, worst errors."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from orchestrator.drawing.label import label
from orchestrator.drawing.overlay import overlay
from orchestrator.report.figures.marks import BLUE, INK, ORANGE, one_axes
from trainables.evaluation.predictions import Verdicts

_MAX_NAMED = 20
_IMAGE_PX = 96


def information_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """The path of the run: error against the information of the latent about the image (KL to its prior, in nats)."""
    rows = [row for row in history if "val_kl_nats" in row]
    figure, axes = one_axes("KL of the latent to its prior on validation images (nats)", "validation error (%)")
    kl, error = [row["val_kl_nats"] for row in rows], [row["val_error_pct"] for row in rows]
    axes.plot(kl, error, color=BLUE, marker="o", markersize=3.5, linewidth=1.2)
    for row in {rows[0]["epoch"]: rows[0], rows[-1]["epoch"]: rows[-1]}.values():
        axes.annotate(
            f"epoch {row['epoch']:.0f}",
            (row["val_kl_nats"], row["val_error_pct"]),
            (6, 6),
            textcoords="offset points",
            fontsize=8,
        )
    axes.margins(0.1)
    if max(kl) > 20 * max(min(kl), 1e-6):
        axes.set_xscale("symlog", linthresh=1.0)
    return figure


def scores_figure(verdicts: Verdicts) -> Figure:
    """Histogram of the attention scores of all cells of all test images, before quantisation.

    If the model has anchors, each is drawn at its value with the share of cells that are quantised to it.
    """
    counts, edges = verdicts.score_counts, verdicts.score_edges
    assert counts is not None
    assert edges is not None
    figure, axes = one_axes("attention score of a cell", "share of cells (%)")
    axes.stairs(100 * counts / counts.sum(), edges, fill=True, color=BLUE, alpha=0.55, label="scores")
    axes.stairs(100 * counts / counts.sum(), edges, color=INK, linewidth=0.8)
    if verdicts.anchors_Q is not None and verdicts.anchor_counts_Q is not None:
        shares_Q = 100 * verdicts.anchor_counts_Q / max(1, verdicts.anchor_counts_Q.sum())
        axes.vlines(verdicts.anchors_Q, 0, shares_Q, color=ORANGE, linewidth=1.2)
        legend = f"{len(shares_Q)} anchors: share of cells of each"
        axes.plot(verdicts.anchors_Q, shares_Q, "D", color=ORANGE, markersize=4, markeredgecolor=INK, label=legend)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    return figure


def confusion_figure(counts_CC: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """Confusion matrix: share of each true class (row) per predicted class (column).

    Up to _MAX_NAMED classes, the figure has class names and numbers.
    """
    shares_CC = 100 * counts_CC / np.maximum(1, counts_CC.sum(1, keepdims=True))
    named = len(class_names) <= _MAX_NAMED
    side = min(8.0, 3.2 + 0.32 * len(class_names)) if named else 6.4
    figure = Figure(figsize=(side + 0.9, side), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(shares_CC, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    if named:
        names = [label(name) for name in class_names]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        for row, column in np.argwhere(shares_CC >= 0.5):
            share = shares_CC[row, column]
            # Not colours of the theme: the cells below the numbers do not change with it.
            color = "#111111" if share > 55 else "#fafafa"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(drawn, ax=axes, label="share of the true class (%)", shrink=0.8)
    return figure


def worst_figure(verdicts: Verdicts, class_names: Sequence[str]) -> Figure:
    """The errors with the highest cross-entropy, each with its attention map if the model has one."""
    count = len(verdicts.worst_W)
    columns = min(4, count)
    rows = -(-count // columns)
    panels_per_case = 2 if verdicts.worst_maps_Whw is not None else 1
    figure = Figure(figsize=(1.5 * panels_per_case * columns + 0.4, 2.05 * rows), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).flatten()
    for cell in cells:
        cell.set_axis_off()
    for place, cell in zip(range(count), cells, strict=False):
        position = verdicts.worst_W[place]
        shown = image_and_map(
            verdicts.worst_images_WHWC[place],
            None if verdicts.worst_maps_Whw is None else verdicts.worst_maps_Whw[place],
        )
        cell.imshow(shown)
        true, predicted = (label(class_names[int(of[position])]) for of in (verdicts.labels_N, verdicts.predicted_N))
        cell.set_title(f"{predicted} ({verdicts.worst_probability_W[place]:.0%})\ntrue: {true}", fontsize=8)
    return figure


def image_and_map(image_HWC: NDArray[np.uint8], map_hw: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The enlarged image; if there is a map, to its right the image with the map as an overlay."""
    factor = -(-_IMAGE_PX // min(image_HWC.shape[:2]))
    size = (image_HWC.shape[1] * factor, image_HWC.shape[0] * factor)
    enlarged = np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.NEAREST))
    if map_hw is None:
        return enlarged
    return np.concatenate([enlarged, overlay(image_HWC, map_hw.astype(np.float32), _IMAGE_PX)], axis=1)
