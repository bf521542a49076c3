"""Section "Attention maps": example test images of the best run, each beside its map."""

import numpy as np

from orchestrator.drawing.attention_figure import attention_figure
from orchestrator.report.page.document import Block, Text
from orchestrator.report.page.picture import png_picture
from orchestrator.report.runs import ShownRun
from orchestrator.report.source import StudySource
from trainables.interpretability.examples import Panels
from trainables.models.traits import traits

_MAX_EXAMPLES = 6


def map_blocks(source: StudySource, run: ShownRun | None) -> tuple[Block, ...]:
    """The picture of examples, or a note that says why there is none."""
    if run is None:
        return (Text("No run to show yet.", "note"),)
    trial = run.record.trial
    if not traits(run.config.model.name).maps:
        return (Text(f"{run.config.model.name} has no spatial map, so there is none to draw.", "note"),)
    checkpoint = source.checkpoint(trial)
    if checkpoint is None or checkpoint.panels is None:
        reason = "its last checkpoint is not available or holds no examples"
        return (Text(f"No examples of {trial} are stored: {reason}.", "note"),)
    panels = first_examples(checkpoint.panels, _MAX_EXAMPLES)
    return (
        png_picture(
            attention_figure(panels, checkpoint.class_names, pixels_per_image=96),
            "attention",
            f"Test images of {trial}, each beside its attention map: clean, occluded and filtered. '=' and '≠' show "
            "whether class and map are the same as for the clean image.",
            _alt_text(panels),
        ),
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


def _alt_text(panels: Panels) -> str:
    num_examples = len(panels.predicted_NK)
    parts = []
    for column, name in enumerate(panels.columns[1:], 1):
        same = int((panels.predicted_NK[:, column] == panels.predicted_NK[:, 0]).sum())
        cosine = float(np.mean(panels.centered_cosine_NK[:, column]))
        parts.append(f"under {name} {same} keep their class, mean-centred cosine {cosine:.2f} on average")
    return f"Attention over {num_examples} test images; {'; '.join(parts)}."
