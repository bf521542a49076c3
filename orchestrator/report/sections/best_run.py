"""The section on one run: its curves, what it learnt to let through, where it errs and where it looks."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from orchestrator.drawing.figures import curves_figure, interpretability_figure
from orchestrator.report.figures.search_figures import ERROR
from orchestrator.report.figures.trial_figures import confusion_figure, information_figure, scores_figure, worst_figure
from orchestrator.report.page.document import Block, Row, Table, Text, number
from orchestrator.report.page.picture import png_picture, svg_picture
from orchestrator.report.runs import Subject
from orchestrator.report.source import Stored, StudySource
from trainables import metrics
from trainables.evaluation.predictions import Verdicts

_NOT_KEPT = "What {} said of each test image is not stored: its last checkpoint is not here or was written without it."
_MAX_CONFUSIONS = 8


def trial_blocks(source: StudySource, subject: Subject | None) -> tuple[Block, ...]:
    """Of the run that the report shows: curves, and what its last checkpoint keeps of its answers."""
    if subject is None:
        return (Text("No run to show yet.", "note"),)
    stored = source.stored(subject.shown.trial)
    verdicts = stored.verdicts if stored else None
    answers: tuple[Block, ...] = (Text(_NOT_KEPT.format(subject.shown.trial), "note"),)
    if stored is not None and verdicts is not None:
        answers = _answers(subject, stored, verdicts)
    return (*_curves(subject), *_localization(subject), *answers)


def _curves(subject: Subject) -> tuple[Block, ...]:
    record = subject.shown
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
            f"Every loss term, errors and attention over the {record.epoch} epochs of {record.trial}.",
            f"Curves over {record.epoch} epochs: {'; '.join(ends)}.",
        )
    ]
    known = [row for row in record.history if "val_kl_nats" in row]
    if known:
        blocks.append(
            svg_picture(
                information_figure(known),
                "information",
                f"Information against error: the path of {record.trial} from its first epoch to its last.",
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
                f"The ten scores of {record.trial} on test images over the threshold on the cosine, for each reading "
                "of the maps, with chance.",
                f"Ten interpretability scores over the threshold for three readings; their means: {means}.",
            )
        )
    return tuple(blocks)


def _test_scores(outcome: Mapping[str, float]) -> dict[str, float] | None:
    scores = {name: outcome[f"test_{name}"] for name in metrics.INTERPRETABILITY if f"test_{name}" in outcome}
    return scores if len(scores) == len(metrics.INTERPRETABILITY) else None


def _localization(subject: Subject) -> tuple[Block, ...]:
    """Attention inside the object's mask, where the data set has masks."""
    found = {name: subject.shown.outcome[name] for name in metrics.LOCALIZATION if name in subject.shown.outcome}
    if len(found) < len(metrics.LOCALIZATION):
        return ()
    rows = (
        ("as they are", "attention_in_mask_pct", "attention_in_mask_ratio"),
        ("stretched to [0, 1]", "attention_in_mask_minmax_pct", "attention_in_mask_minmax_ratio"),
    )
    return (
        Table(
            "localization",
            f"Localisation of {subject.shown.trial} on test images: the share of the attention inside the object's "
            "mask. Attention that ignores the image has the mask's own share, a ratio of 1.",
            ("maps", "in mask (%)", "mask's area (%)", "ratio"),
            tuple(
                Row((words, number(found[share], 1), number(found["mask_area_pct"], 1), number(found[ratio])))
                for words, share, ratio in rows
            ),
        ),
    )


def _answers(subject: Subject, stored: Stored, verdicts: Verdicts) -> tuple[Block, ...]:
    trial, names = subject.shown.trial, stored.class_names
    counts_CC = verdicts.confusion(len(names))
    wrong = int(counts_CC.sum() - np.trace(counts_CC))
    blocks: list[Block] = []
    if verdicts.score_counts is not None and verdicts.score_edges is not None:
        edges, anchors_Q = verdicts.score_edges, verdicts.anchors_Q
        told = f"Attention scores from {edges[0]:.3f} to {edges[-1]:.3f}"
        if anchors_Q is not None and verdicts.anchor_counts_Q is not None:
            used = int((verdicts.anchor_counts_Q > 0).sum())
            told += f"; {used} of {len(anchors_Q)} anchors take cells, anchors lie from {anchors_Q.min():.3f} to "
            told += f"{anchors_Q.max():.3f}"
        beside = "" if anchors_Q is None else " and the anchors that quantise them"
        caption = f"Attention scores of {trial} on all test images{beside}."
        blocks.append(svg_picture(scores_figure(verdicts), "scores-histogram", caption, f"{told}."))
    blocks.append(
        svg_picture(
            confusion_figure(counts_CC, names),
            "confusion",
            f"Confusion matrix of {trial} over {counts_CC.sum():,} test images; each row is a true class and sums to "
            "100 %.",
            f"{wrong:,} of {counts_CC.sum():,} test images are wrong. Most often: "
            f"{'; '.join(_often(counts_CC, names))}.",
        )
    )
    if len(verdicts.worst_W):
        drawn = "" if verdicts.worst_maps_Whw is None else ", each beside its attention map"
        worst = "; ".join(
            f"{names[verdicts.labels_N[position]]} taken for {names[verdicts.predicted_N[position]]} at {share:.0%}"
            for position, share in zip(verdicts.worst_W, verdicts.worst_probability_W, strict=True)
        )
        blocks.append(
            png_picture(
                worst_figure(verdicts, names),
                "worst",
                f"The worst errors of {trial}: the test images of highest cross-entropy{drawn}. Above each the "
                "predicted class with its probability, and the true one.",
                f"{len(verdicts.worst_W)} images{drawn}: {worst}.",
            )
        )
    return tuple(blocks)


def _often(counts_CC: NDArray[np.int64], names: list[str]) -> list[str]:
    """The most frequent confusions in words."""
    off_CC = counts_CC - np.diag(np.diag(counts_CC))
    order = np.argsort(-off_CC, axis=None, kind="stable")[:_MAX_CONFUSIONS]
    pairs = [np.unravel_index(place, off_CC.shape) for place in order]
    return [f"{names[t]} taken for {names[p]} {off_CC[t, p]} times" for t, p in pairs if off_CC[t, p]] or ["nothing"]
