"""Figs. 3 and 5: attention maps of several models on the same images, and errors that quantisation corrects."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from orchestrator.drawing.attention_figure import column_heading
from orchestrator.drawing.label import label
from orchestrator.drawing.overlay import overlay
from orchestrator.report.figures.one_run import image_and_map
from orchestrator.report.page.document import Block, Picture, Text
from orchestrator.report.page.picture import png_picture
from orchestrator.report.runs import StoredRun
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import open_store
from trainables.data.splits import select
from trainables.errors import AIBError
from trainables.interpretability.examples import CLEAN, Panels
from trainables.metrics import HIGH_FREQUENCIES, LOW_FREQUENCIES
from trainables.models.traits import MODELS

_SIDE_IMAGES = 2
_SIDE_COLUMNS = (CLEAN, "interp_color_p8", "interp_svhn_p8", HIGH_FREQUENCIES, LOW_FREQUENCIES)
_MAX_MODELS = 9
_MAX_CASES = 6
_IMAGE_PX = 96


def side_by_side_blocks(runs: Sequence[StoredRun]) -> tuple[Block, ...]:
    """One picture per data set of the same images under each model, then the errors that quantisation corrects."""
    blocks: list[Block] = []
    for dataset in dict.fromkeys(run.shown.config.data.name for run in runs):
        here = [run for run in runs if run.shown.config.data.name == dataset]
        blocks += [*_side_by_side(dataset, here), *_corrected(dataset, here)]
    return tuple(blocks) or (Text("No run has stored maps to compare side by side.", "note"),)


def _side_by_side(dataset: str, runs: Sequence[StoredRun]) -> tuple[Block, ...]:
    groups: list[list[StoredRun]] = []
    for run in (run for run in runs if run.checkpoint.panels is not None):
        # Trials with another image size or image limit saw other images.
        images_NKHWC = _panels(run).images_NKHWC
        matching = (group for group in groups if np.array_equal(_panels(group[0]).images_NKHWC, images_NKHWC))
        group = next(matching, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    pictures = [_side_picture(dataset, place, group) for place, group in enumerate(groups) if len(group) > 1]
    too_few = f"Fewer than two models saw the same images of {dataset}: there are no maps to compare side by side."
    return tuple(pictures) or (Text(too_few, "note"),)


def _side_picture(dataset: str, place: int, runs: Sequence[StoredRun]) -> Picture:
    same = sorted(runs, key=lambda run: MODELS.index(run.model))[:_MAX_MODELS]
    models = [run.model for run in same]
    kept = []
    for run in same:
        panels = _panels(run)
        consistent = (panels.minmax_cosine_NK[:_SIDE_IMAGES, 1:] >= panels.threshold).sum()
        kept.append(
            f"{run.model} keeps its map under {consistent} of {_SIDE_IMAGES * (len(panels.columns) - 1)} modifications"
        )
    return png_picture(
        _side_figure(same),
        f"side-by-side-{dataset}-{place + 1}",
        f"The same test images of {dataset} under {', '.join(models)}: clean, occluded and filtered. Each map is "
        "scaled to its own range (dark is lowest). Below each map: predicted class and cosine with the clean map.",
        f"{_SIDE_IMAGES} images of {dataset} with the maps of {len(models)} models side by side: {'; '.join(kept)}.",
    )


def _panels(run: StoredRun) -> Panels:
    assert run.checkpoint.panels is not None
    return run.checkpoint.panels


def _side_figure(runs: Sequence[StoredRun]) -> Figure:
    first, names = _panels(runs[0]), [label(name) for name in runs[0].checkpoint.class_names]
    columns = [first.columns.index(name) for name in _SIDE_COLUMNS if name in first.columns]
    count = min(_SIDE_IMAGES, len(first.images_NKHWC))
    figure = Figure(figsize=(1.25 * (1 + len(runs)), 1.42 * count * len(columns) + 0.4), layout="constrained")
    cells = figure.subplots(count * len(columns), 1 + len(runs), squeeze=False)
    for image in range(count):
        for place, column in enumerate(columns):
            row = image * len(columns) + place
            image_HWC = first.images_NKHWC[image, column]
            cells[row, 0].imshow(image_and_map(image_HWC, None))
            heading = column_heading(first.columns[column])
            truth = "" if first.labels_N is None else f"\n{names[int(first.labels_N[image])]}"
            cells[row, 0].set_xlabel(heading + (truth if place == 0 else ""), fontsize=6.5, labelpad=2)
            for cell, run in zip(cells[row, 1:], runs, strict=True):
                panels = _panels(run)
                cell.imshow(overlay(image_HWC, panels.maps_NKhw[image, column], _IMAGE_PX))
                predicted = names[int(panels.predicted_NK[image, column])]
                cosine = "" if place == 0 else f", cos {panels.minmax_cosine_NK[image, column]:.2f}"
                cell.set_xlabel(predicted + cosine, fontsize=6.5, labelpad=2)
                if row == 0:
                    cell.set_title(run.model, fontsize=8)
    for cell in cells.flatten():
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    return figure


def _corrected(dataset: str, runs: Sequence[StoredRun]) -> tuple[Block, ...]:
    """For each backbone with and without a quantiser: test images that only the quantised model gets right."""
    by_model = {run.model: run for run in runs if run.checkpoint.verdicts is not None}
    blocks: list[Block] = []
    for name, plain in by_model.items():
        quantized = by_model.get(f"{name}-qt")
        if quantized is not None:
            blocks += _cases(dataset, plain, quantized)
    return tuple(blocks)


def _cases(dataset: str, plain: StoredRun, quantized: StoredRun) -> list[Block]:
    a, b = plain.checkpoint.verdicts, quantized.checkpoint.verdicts
    assert a is not None
    assert b is not None
    if plain.checkpoint.state["data"] != quantized.checkpoint.state["data"] or not np.array_equal(
        a.labels_N, b.labels_N
    ):
        text = f"{plain.model} and {quantized.model} were tested on different images of {dataset}: no cases to compare."
        return [Text(text, "note")]
    right_a_N, right_b_N = a.predicted_N == a.labels_N, b.predicted_N == b.labels_N
    gained_N, lost_N = np.flatnonzero(~right_a_N & right_b_N), np.flatnonzero(right_a_N & ~right_b_N)
    counts = (
        f"Of {len(a.labels_N):,} test images of {dataset}, {quantized.model} gets {len(gained_N):,} right that "
        f"{plain.model} gets wrong, and {len(lost_N):,} wrong that {plain.model} gets right."
    )
    assert a.maps_Mhw is not None
    assert b.maps_Mhw is not None
    shown_N = gained_N[gained_N < min(len(a.maps_Mhw), len(b.maps_Mhw))][:_MAX_CASES]
    if not len(shown_N):
        return [Text(counts)]
    try:
        images_NHWC = _test_images(plain, shown_N)
    except (AIBError, OSError) as error:
        return [Text(f"{counts} Their images cannot be shown: {error}", "note")]
    names = plain.checkpoint.class_names
    figure = Figure(figsize=(1.6 * len(shown_N) + 0.3, 4.6), layout="constrained")
    cells = figure.subplots(3, len(shown_N), squeeze=False)
    for column, position in enumerate(shown_N):
        image_HWC = images_NHWC[column]
        cells[0, column].imshow(image_and_map(image_HWC, None))
        cells[0, column].set_title(f"true: {label(names[int(a.labels_N[position])])}", fontsize=8)
        for row, (run, verdicts) in enumerate(((plain, a), (quantized, b)), 1):
            assert verdicts.maps_Mhw is not None
            cells[row, column].imshow(overlay(image_HWC, verdicts.maps_Mhw[position].astype(np.float32), _IMAGE_PX))
            predicted = label(names[int(verdicts.predicted_N[position])])
            cells[row, column].set_title(f"{run.model}:\n{predicted}", fontsize=8)
    for cell in cells.flatten():
        cell.set_axis_off()
    cases = "; ".join(f"{names[int(a.labels_N[i])]}, not {names[int(a.predicted_N[i])]}" for i in shown_N)
    return [
        Text(counts),
        png_picture(
            figure,
            f"corrected-{dataset}-{plain.model}",
            f"Test images of {dataset} that quantisation corrects: {plain.model} is wrong, {quantized.model} is right.",
            f"{len(shown_N)} images with the maps of both models: {cases}.",
        ),
    ]


def _test_images(run: StoredRun, positions_N: np.ndarray) -> np.ndarray:
    """Test images as the trial saw them.

    Raises FileNotFoundError or DataError if the data set is missing or is not the one of the trial.
    """
    config = TrialConfig.from_dict(run.checkpoint.state["config"])
    if run.source.data is None:
        raise FileNotFoundError("the data set is not available here.")
    store = open_store(run.source.data, config.data.name, config.data.stored_size)
    if store.digest != run.checkpoint.state["data"]["digest"]:
        raise FileNotFoundError(f"the prepared {config.data.name} is not the one that the trials used.")
    images_NHWC, _ = select(store, config.data).test.batch(positions_N)
    return np.asarray(images_NHWC.numpy())
