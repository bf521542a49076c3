"""Training curves: the metrics of one trial over its epochs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.drawing.line_styles import LINE_STYLES

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


def curves_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Draws losses, errors, map contrast and interpretability over epochs; metrics without a value are left out.

    history: one mapping of metrics per epoch. The x value is its `epoch`, or its position counted from 1.
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
        for name, style in zip(names, LINE_STYLES, strict=False):
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


def _points(history: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    """Epochs and finite values of one metric."""
    known = [(entry.get("epoch", place), entry[name]) for place, entry in enumerate(history, 1) if name in entry]
    finite = [(epoch, value) for epoch, value in known if np.isfinite(value)]
    return [epoch for epoch, _ in finite], [value for _, value in finite]
