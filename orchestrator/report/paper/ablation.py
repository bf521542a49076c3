"""Fig. 4, the ablation: test accuracy over β, K and Q, each with all other fields equal."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from orchestrator.planning.trials import resolve_trial
from orchestrator.report.figures.marks import BLUE, GREEN, GREY, ORANGE
from orchestrator.report.page.document import Block, Text
from orchestrator.report.page.picture import svg_picture
from orchestrator.report.source import StudySource
from orchestrator.study.journal import TrialRecord
from orchestrator.study.seed_statistics import mean, sample_std
from trainables.config.trial import TrialConfig
from trainables.models.traits import fields_without_effect


class Panel(NamedTuple):
    field: str
    symbol: str
    best: tuple[float, float]
    """The value with the highest accuracy in the paper; a range for Q."""


class Curve(NamedTuple):
    label: str
    values: list[float]
    accuracies: list[list[float]]
    """For each value, the test accuracy in percent of every full-length run."""


PANELS = (
    Panel("bottleneck.beta", "β", (0.01, 0.01)),
    Panel("bottleneck.latent_dim", "K", (256, 256)),
    Panel("attention.num_anchors", "Q", (20, 50)),
)
_MAX_CURVES = 3
_STYLES = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "D", "-."))


def ablation_blocks(sources: Sequence[StudySource]) -> tuple[Block, ...]:
    """One picture of three panels; the caption names panels without two values to compare."""
    runs = _full_length(sources)
    curves = {panel.field: ablation_curves(runs, panel.field) for panel in PANELS}
    missing = [panel.symbol for panel in PANELS if not curves[panel.field]]
    if len(missing) == len(PANELS):
        text = (
            "Fig. 4 (accuracy over β, K and Q) has not been run: no two full-length trials differ in only one of "
            "these. The searches ablation_beta, ablation_latent_dim and ablation_anchors run it."
        )
        return (Text(text, "note"),)
    highest = []
    for panel in PANELS:
        for curve in curves[panel.field][:1]:
            best = max(range(len(curve.values)), key=lambda i, found=curve: mean(found.accuracies[i]))  # type: ignore[misc]
            highest.append(
                f"{panel.symbol} over {len(curve.values)} values, highest {mean(curve.accuracies[best]):.2f} % at "
                f"{curve.values[best]:g}"
            )
    absent = f" Not run: {', '.join(missing)}." if missing else ""
    return (
        svg_picture(
            ablation_figure(curves),
            "figure-4",
            "Fig. 4: test accuracy over β (a), K (b) and Q (c); all other fields are equal along a line. Mean and "
            f"standard deviation over runs. Grey: the value with the highest accuracy in the paper.{absent}",
            f"Test accuracy: {'; '.join(highest)}.{absent}",
        ),
    )


def ablation_curves(runs: Sequence[tuple[TrialConfig, float]], field: str) -> list[Curve]:
    """Curves of runs that differ only in `field` and the seed; at least two values each, the longest curve first."""
    groups: dict[tuple[tuple[str, str], ...], dict[float, list[float]]] = {}
    labels: dict[tuple[tuple[str, str], ...], str] = {}
    for config, accuracy in runs:
        flat = config.to_dict()
        if field in fields_without_effect(config.model.name):
            continue
        key = tuple((name, repr(value)) for name, value in flat.items() if name not in (field, "seed"))
        groups.setdefault(key, {}).setdefault(float(flat[field]), []).append(accuracy)
        labels[key] = f"{config.model.name}, {config.data.name}"
    curves = [
        Curve(labels[key], sorted(found), [found[value] for value in sorted(found)])
        for key, found in groups.items()
        if len(found) > 1
    ]
    return sorted(curves, key=lambda c: (-len(c.values), -sum(map(len, c.accuracies)), c.label))[:_MAX_CURVES]


def ablation_figure(curves: dict[str, list[Curve]]) -> Figure:
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    for axes, letter, panel in zip(figure.subplots(1, len(PANELS)), "abc", PANELS, strict=True):
        axes.set(title=f"({letter}) {panel.symbol}", xlabel=panel.symbol)
        if panel.field != "attention.num_anchors":
            axes.set_xscale("log", base=10 if panel.field == "bottleneck.beta" else 2)
        if panel.best[0] < panel.best[1]:
            axes.axvspan(*panel.best, color=GREY, alpha=0.25, linewidth=0)
        else:
            axes.axvline(panel.best[0], color=GREY, linestyle=":", linewidth=1.4)
        for (color, marker, line), curve in zip(_STYLES, curves[panel.field], strict=False):
            means = [mean(found) for found in curve.accuracies]
            spreads = [sample_std(found) or 0.0 for found in curve.accuracies]
            axes.errorbar(
                curve.values, means, yerr=spreads, color=color, marker=marker, linestyle=line, capsize=3,
                markersize=5, linewidth=1.5, label=curve.label,
            )  # fmt: skip
        if curves[panel.field]:
            axes.legend(fontsize=7)
        else:
            axes.set(xticks=[], yticks=[])
            axes.minorticks_off()
            axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center")
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].set_ylabel("test accuracy (%)")
    return figure


def _full_length(sources: Sequence[StudySource]) -> list[tuple[TrialConfig, float]]:
    """Configuration and test accuracy in percent of every completed trial."""
    found = []
    for source in sources:
        for record in source.view.state.trials.values():
            error = record.outcome.get("final_test_error_pct", math.nan) if record.state == "completed" else math.nan
            if math.isfinite(error):
                found.append((_config(source, record), 100 - error))
    return found


def _config(source: StudySource, record: TrialRecord) -> TrialConfig:
    return resolve_trial(source.view.spec, record.params)
