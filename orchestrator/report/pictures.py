"""The report's drawn sections: each figure with its caption and, in words, what it shows."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from orchestrator.report.document import Block, Picture, Text, number
from orchestrator.report.figures import (
    ERROR,
    INTERP,
    best_so_far,
    history_figure,
    standing,
    tradeoff_figure,
    tradeoff_front,
)
from orchestrator.report.subject import Subject
from orchestrator.report.svg import themed_svg
from orchestrator.storage import TrialStorage, recorded_storage
from orchestrator.study import StudyView
from orchestrator.tracking.figures import attention_figure, curves_figure, interpretability_figure
from trainables import metrics
from trainables.checkpoint import has_tensors, read_state, read_tensors
from trainables.interpretability.examples import Panels
from trainables.models.traits import traits

_DPI = 96
_MAX_EXAMPLES = 6
_PALETTE_COLORS = 256


def draw_all(view: StudyView, subject: Subject | None, trials_folder: Path) -> dict[str, tuple[Block, ...]]:
    """The blocks of the sections `search`, `curves` and `maps`."""
    return {
        "search": _search(view),
        "curves": _curves(subject),
        "maps": _maps(subject, recorded_storage(view.facts, trials_folder, view.spec.name)),
    }


def _search(view: StudyView) -> tuple[Block, ...]:
    spec, search = view.spec, view.state.of_kind("search")
    reported = [record for record in search if record.history]
    if not reported:
        return (Text("No trial has reported an epoch yet.", "note"),)
    groups = ", ".join(f"{len(records)} {name}" for name, records in standing(spec, search).items() if records)
    best, metric = best_so_far(spec, search), spec.objectives[0].metric
    told = (
        f"The best of them goes from {best[0][1]:.4g} (trial {best[0][0]} in order) to {best[-1][1]:.4g} "
        f"(trial {best[-1][0]})."
        if best
        else "None of them may be compared yet."
    )
    blocks: list[Block] = [
        _svg(
            history_figure(spec, search),
            "history",
            f"Optimisation history: {metric} of each trial's best epoch in the order of their start. The line is the "
            "best so far among full-length trials within every constraint.",
            f"{metric} of {len(search)} trials: {groups}. {told}",
        )
    ]
    if any(INTERP in record.outcome for record in reported):
        front = tradeoff_front(spec, search)
        points = "; ".join(
            f"{r.trial} at {number(r.outcome[ERROR])} % error, score {number(r.outcome[INTERP], 1)} %"
            for r in (front if len(front) <= 3 else (front[0], front[-1]))
        )
        ends = "" if len(front) <= 3 else ", of which the two ends are"
        blocks.append(
            _svg(
                tradeoff_figure(spec, search),
                "tradeoff",
                "Validation error against mean-centred interpretability: lower right is worse, upper left is better. "
                "Only full-length trials within every constraint are on the Pareto front.",
                f"{len(reported)} trials by error and interpretability. {len(front)} on the Pareto front{ends}"
                f"{': ' + points if front else ''}.",
            )
        )
    else:
        blocks.append(
            Text("Interpretability was not scored during the search, so there is no trade-off to draw.", "note")
        )
    return tuple(blocks)


def _curves(subject: Subject | None) -> tuple[Block, ...]:
    if subject is None:
        return (Text("No run to show yet.", "note"),)
    record = subject.shown
    first, last = record.history[0], record.history[-1]
    ends = [
        f"{name} from {first[name]:.4g} to {last[name]:.4g}"
        for name in ("train_loss", ERROR, "test_error_pct", "train_kl_nats")
        if name in first and name in last
    ]
    blocks: list[Block] = [
        _svg(
            curves_figure(record.history),
            "curves-figure",
            f"Losses, errors and attention over the {record.epoch} epochs of {record.trial}.",
            f"Curves over {record.epoch} epochs: {'; '.join(ends)}.",
        )
    ]
    scores = _test_scores(record.outcome)
    if scores is not None:
        means = ", ".join(f"{reading} {scores[name]:.1f} %" for reading, name in metrics.INTERP_MEANS.items())
        blocks.append(
            _svg(
                interpretability_figure(scores),
                "thresholds",
                f"The ten scores of {record.trial} on test images over the threshold on the cosine, for each reading "
                "of the maps, with chance.",
                f"Ten interpretability scores over the threshold for three readings; their means: {means}.",
            )
        )
    return tuple(blocks)


def _test_scores(outcome: Mapping[str, float]) -> dict[str, float] | None:
    scores = {name: outcome[f"test_{name}"] for name in metrics.INTERPRETABILITY if f"test_{name}" in outcome}
    return scores if len(scores) == len(metrics.INTERPRETABILITY) else None


def _maps(subject: Subject | None, storage: TrialStorage) -> tuple[Block, ...]:
    if subject is None:
        return (Text("No run to show yet.", "note"),)
    trial = subject.shown.trial
    if not traits(subject.config.model.name).maps:
        return (Text(f"{subject.config.model.name} has no spatial map, so there is none to draw.", "note"),)
    try:
        with storage.of(trial).newest() as checkpoint:
            if checkpoint is not None and has_tensors(checkpoint, "examples"):
                return (_attention(trial, subject, checkpoint),)
    except OSError as error:
        return (Text(f"No examples of {trial}: {storage.place} cannot be read ({error}).", "note"),)
    return (Text(f"No examples of {trial} are stored: its last checkpoint is not here or holds none.", "note"),)


def _attention(trial: str, subject: Subject, checkpoint: Path) -> Picture:
    panels = Panels.from_tensors(read_tensors(checkpoint, "examples"), subject.config.evaluation.interp_threshold)
    shown = first_examples(panels, _MAX_EXAMPLES)
    figure = attention_figure(shown, read_state(checkpoint)["data"]["class_names"], pixels_per_image=96)
    return _png(
        figure,
        "attention",
        f"Test images of {trial}, each beside its attention map: clean, occluded and filtered. '=' and '≠' say "
        "whether class and map stay those of the clean image.",
        _described(shown),
    )


def first_examples(panels: Panels, count: int) -> Panels:
    """The first `count` examples."""
    labels_N = panels.labels_N
    return Panels(
        columns=panels.columns,
        images_NKHWC=panels.images_NKHWC[:count],
        maps_NKhw=panels.maps_NKhw[:count],
        predicted_NK=panels.predicted_NK[:count],
        minmax_cosine_NK=panels.minmax_cosine_NK[:count],
        centered_cosine_NK=panels.centered_cosine_NK[:count],
        labels_N=None if labels_N is None else labels_N[:count],
        threshold=panels.threshold,
    )


def _described(panels: Panels) -> str:
    num_examples = len(panels.predicted_NK)
    parts = []
    for column, name in enumerate(panels.columns[1:], 1):
        same = int((panels.predicted_NK[:, column] == panels.predicted_NK[:, 0]).sum())
        cosine = float(np.mean(panels.centered_cosine_NK[:, column]))
        parts.append(f"under {name} the class stays in {same}, mean-centred cosine {cosine:.2f} on average")
    return f"Attention over {num_examples} test images; {'; '.join(parts)}."


def _svg(figure: Figure, name: str, caption: str, alt: str) -> Picture:
    width, height = _size_px(figure)
    return Picture(name, caption, alt, "image/svg+xml", themed_svg(figure), width, height)


def _png(figure: Figure, name: str, caption: str, alt: str) -> Picture:
    """Photographs and maps as one picture of 256 colours: a third of the bytes, and no difference to see."""
    drawn, encoded = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    Image.open(drawn).convert("RGB").quantize(_PALETTE_COLORS).save(encoded, format="PNG", optimize=True)
    width, height = _size_px(figure)
    return Picture(name, caption, alt, "image/png", encoded.getvalue(), width, height)


def _size_px(figure: Figure) -> tuple[int, int]:
    width_in, height_in = figure.get_size_inches()
    return round(width_in * _DPI), round(height_in * _DPI)
