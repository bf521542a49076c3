"""Interpretability curves: the scores of the paper's Table 2 over the threshold on the cosine."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from orchestrator.drawing.line_styles import LINE_STYLES
from trainables import metrics

_READING_TITLES = {"minmax": "min-max maps (paper comparison)", "raw": "raw maps", "centered": "mean-centred maps"}


def interpretability_figure(scores: Mapping[str, float]) -> Figure:
    """Draws one panel per reading of the maps: ten scores and the chance level over the threshold on the cosine.

    scores: the metrics that `trainables.interpretability.score` returns.
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
        for (label, subjects), style in zip(groups, LINE_STYLES, strict=False):
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
