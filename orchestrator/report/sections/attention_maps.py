"""The section on attention maps: the shown run's own examples."""

import numpy as np

from orchestrator.drawing.figures import attention_figure
from orchestrator.report.page.document import Block, Text
from orchestrator.report.page.picture import png_picture
from orchestrator.report.runs import Subject
from orchestrator.report.source import StudySource
from trainables.interpretability.examples import Panels
from trainables.models.traits import traits

_MAX_EXAMPLES = 6


def map_blocks(source: StudySource, subject: Subject | None) -> tuple[Block, ...]:
    """The shown run's own examples."""
    if subject is None:
        return (Text("No run to show yet.", "note"),)
    trial = subject.shown.trial
    if not traits(subject.config.model.name).maps:
        return (Text(f"{subject.config.model.name} has no spatial map, so there is none to draw.", "note"),)
    stored = source.stored(trial)
    if stored is None or stored.panels is None:
        return (Text(f"No examples of {trial} are stored: its last checkpoint is not here or holds none.", "note"),)
    shown = first_examples(stored.panels, _MAX_EXAMPLES)
    return (
        png_picture(
            attention_figure(shown, stored.class_names, pixels_per_image=96),
            "attention",
            f"Test images of {trial}, each beside its attention map: clean, occluded and filtered. '=' and '≠' say "
            "whether class and map stay those of the clean image.",
            _described(shown),
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


def _described(panels: Panels) -> str:
    num_examples = len(panels.predicted_NK)
    parts = []
    for column, name in enumerate(panels.columns[1:], 1):
        same = int((panels.predicted_NK[:, column] == panels.predicted_NK[:, 0]).sum())
        cosine = float(np.mean(panels.centered_cosine_NK[:, column]))
        parts.append(f"under {name} the class stays in {same}, mean-centred cosine {cosine:.2f} on average")
    return f"Attention over {num_examples} test images; {'; '.join(parts)}."
