"""Section "The best run": training curves, information and attention scores, confusion matrix, worst errors."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from orchestrator.drawing.interpretability_curves import interpretability_figure
from orchestrator.drawing.training_curves import curves_figure
from orchestrator.report.figures.one_run import confusion_figure, information_figure, scores_figure, worst_figure
from orchestrator.report.figures.tradeoff import ERROR
from orchestrator.report.page.document import Block, Row, Table, Text, number
from orchestrator.report.page.picture import png_picture, svg_picture
from orchestrator.report.runs import ShownRun
from orchestrator.report.source import StudySource
from trainables import metrics
from trainables.evaluation.predictions import Verdicts

_NOT_STORED = (
    "The predictions of {} for each test image are not stored: its last checkpoint is not available or has none."
)
_MAX_CONFUSIONS = 8


def run_blocks(source: StudySource, run: ShownRun | None) -> tuple[Block, ...]:
    """Curves from the journal, then the predictions from the run's last checkpoint."""
    if run is None:
        return (Text("No run to show yet.", "note"),)
    checkpoint = source.checkpoint(run.record.trial)
    predictions: tuple[Block, ...] = (Text(_NOT_STORED.format(run.record.trial), "note"),)
    if checkpoint is not None and checkpoint.verdicts is not None:
        predictions = _predictions(run, checkpoint.class_names, checkpoint.verdicts)
    return (*_curves(run), *_localization(run), *predictions)


def _curves(run: ShownRun) -> tuple[Block, ...]:
    record = run.record
    first, last = record.history[0], record.history[-1]
    ends = [
        f"{name} from {first[name]:.4g} to {last[name]:.4g}"
        for name in ("train_loss", ERROR, "test_error_pct", "train_kl_nats")
        if name in first and name in last
    ]
    blocks: list[Block] = [
        svg_picture(
            curves_figure(record.history),
            "curves-figure",
            f"Loss terms, errors and attention over the {record.epoch} epochs of {record.trial}.",
            f"Curves over {record.epoch} epochs: {'; '.join(ends)}.",
        )
    ]
    known = [row for row in record.history if "val_kl_nats" in row]
    if known:
        blocks.append(
            svg_picture(
                information_figure(known),
                "information",
                f"Information against error: the path of {record.trial} from its first to its last epoch.",
                f"From {known[0]['val_kl_nats']:.3g} nats at {known[0][ERROR]:.2f} % error to "
                f"{known[-1]['val_kl_nats']:.3g} nats at {known[-1][ERROR]:.2f} % over {len(known)} epochs.",
            )
        )
    scores = _test_scores(record.outcome)
    if scores is not None:
        means = ", ".join(f"{reading} {scores[name]:.1f} %" for reading, name in metrics.INTERP_MEANS.items())
        blocks.append(
            svg_picture(
                interpretability_figure(scores),
                "thresholds",
                f"The ten interpretability scores of {record.trial} on test images against the cosine threshold, for "
                "each reading of the maps, with the chance level.",
                f"Ten interpretability scores against the threshold for three readings; their means: {means}.",
            )
        )
    return tuple(blocks)


def _test_scores(outcome: Mapping[str, float]) -> dict[str, float] | None:
    scores = {name: outcome[f"test_{name}"] for name in metrics.INTERPRETABILITY if f"test_{name}" in outcome}
    return scores if len(scores) == len(metrics.INTERPRETABILITY) else None


def _localization(run: ShownRun) -> tuple[Block, ...]:
    """Share of the attention inside the object's mask; empty if the data set has no masks."""
    found = {name: run.record.outcome[name] for name in metrics.LOCALIZATION if name in run.record.outcome}
    if len(found) < len(metrics.LOCALIZATION):
        return ()
    rows = (
        ("as they are", "attention_in_mask_pct", "attention_in_mask_ratio"),
        ("stretched to [0, 1]", "attention_in_mask_minmax_pct", "attention_in_mask_minmax_ratio"),
    )
    return (
        Table(
            "localization",
            f"Localisation of {run.record.trial} on test images: the share of the attention that lies inside the "
            "object's mask. Attention that ignores the image reaches the mask's area, a ratio of 1.",
            ("maps", "in mask (%)", "mask's area (%)", "ratio"),
            tuple(
                Row((label, number(found[share], 1), number(found["mask_area_pct"], 1), number(found[ratio])))
                for label, share, ratio in rows
            ),
        ),
    )


def _predictions(run: ShownRun, names: list[str], verdicts: Verdicts) -> tuple[Block, ...]:
    trial = run.record.trial
    counts_CC = verdicts.confusion(len(names))
    wrong = int(counts_CC.sum() - np.trace(counts_CC))
    blocks: list[Block] = []
    if verdicts.score_counts is not None and verdicts.score_edges is not None:
        edges, anchors_Q = verdicts.score_edges, verdicts.anchors_Q
        description = f"Attention scores from {edges[0]:.3f} to {edges[-1]:.3f}"
        if anchors_Q is not None and verdicts.anchor_counts_Q is not None:
            used = int((verdicts.anchor_counts_Q > 0).sum())
            description += f"; {used} of {len(anchors_Q)} anchors are used, anchors lie from {anchors_Q.min():.3f} to "
            description += f"{anchors_Q.max():.3f}"
        anchors = "" if anchors_Q is None else " and the anchors that quantise them"
        caption = f"Attention scores of {trial} on all test images{anchors}."
        blocks.append(svg_picture(scores_figure(verdicts), "scores-histogram", caption, f"{description}."))
    blocks.append(
        svg_picture(
            confusion_figure(counts_CC, names),
            "confusion",
            f"Confusion matrix of {trial} over {counts_CC.sum():,} test images; each row is a true class and sums to "
            "100 %.",
            f"{wrong:,} of {counts_CC.sum():,} test images are wrong. Most often: "
            f"{'; '.join(_frequent_confusions(counts_CC, names))}.",
        )
    )
    if len(verdicts.worst_W):
        with_maps = "" if verdicts.worst_maps_Whw is None else ", each beside its attention map"
        worst = "; ".join(
            f"{names[verdicts.labels_N[position]]} classified as {names[verdicts.predicted_N[position]]} at {share:.0%}"
            for position, share in zip(verdicts.worst_W, verdicts.worst_probability_W, strict=True)
        )
        blocks.append(
            png_picture(
                worst_figure(verdicts, names),
                "worst",
                f"The worst errors of {trial}: the test images with the highest cross-entropy{with_maps}. Above each: "
                "the predicted class with its probability, and the true class.",
                f"{len(verdicts.worst_W)} images{with_maps}: {worst}.",
            )
        )
    return tuple(blocks)


def _frequent_confusions(counts_CC: NDArray[np.int64], names: list[str]) -> list[str]:
    """The most frequent confusions, one phrase each."""
    off_CC = counts_CC - np.diag(np.diag(counts_CC))
    order = np.argsort(-off_CC, axis=None, kind="stable")[:_MAX_CONFUSIONS]
    pairs = [np.unravel_index(place, off_CC.shape) for place in order]
    return [f"{names[t]} classified as {names[p]} {off_CC[t, p]} times" for t, p in pairs if off_CC[t, p]] or [
        "nothing"
    ]
