"""An artificial checkpoint of a finished trial: eight images with maps, predictions for forty test images."""

from pathlib import Path

import numpy as np

from trainables.checkpoints.checkpoint import checkpoint_folder, write_checkpoint
from trainables.evaluation.predictions import Verdicts
from trainables.interpretability.examples import CLEAN, SHOWN, Panels

CLASS_NAMES = ("<zero>", "one", "two")


def panels(count: int) -> Panels:
    generator = np.random.default_rng(0)
    shape = (count, 1 + len(SHOWN))
    predicted = np.zeros(shape, dtype=np.int64)
    predicted[0, 1] = 1
    return Panels(
        columns=(CLEAN, *SHOWN),
        images_NKHWC=generator.integers(0, 256, (*shape, 16, 16, 3), dtype=np.uint8),
        maps_NKhw=generator.random((*shape, 8, 8), dtype=np.float32),
        predicted_NK=predicted,
        minmax_cosine_NK=np.full(shape, 0.95),
        centered_cosine_NK=np.full(shape, 0.25),
        labels_N=np.zeros(count, dtype=np.int64),
        threshold=0.9,
    )


def verdicts(wrong: tuple[int, ...] = (3, 5, 8)) -> Verdicts:
    """Forty images of three classes; the images in `wrong` are predicted as the next class, all others correctly."""
    generator = np.random.default_rng(1)
    labels_N = (np.arange(40) % 3).astype(np.int16)
    predicted_N = labels_N.copy()
    predicted_N[list(wrong)] = (labels_N[list(wrong)] + 1) % 3
    edges = np.linspace(0, 1, 41, dtype=np.float32)
    return Verdicts(
        labels_N=labels_N,
        predicted_N=predicted_N,
        worst_W=np.array(wrong, dtype=np.int32),
        worst_probability_W=np.linspace(0.9, 0.5, len(wrong), dtype=np.float32),
        worst_images_WHWC=generator.integers(0, 256, (len(wrong), 16, 16, 3), dtype=np.uint8),
        maps_Mhw=generator.integers(0, 256, (40, 8, 8), dtype=np.uint8),
        worst_maps_Whw=generator.integers(0, 256, (len(wrong), 8, 8), dtype=np.uint8),
        score_counts=np.arange(40),
        score_edges=edges,
        anchors_Q=np.linspace(0, 1, 5, dtype=np.float32),
        anchor_counts_Q=np.array([0, 10, 20, 30, 40]),
    )


def keep_answers(trial_folder: Path, answers: Verdicts | None = None, **state: object) -> None:
    """Writes the last checkpoint of a trial."""
    folder = checkpoint_folder(trial_folder, 6)
    folder.parent.mkdir(parents=True)
    stored = {
        "config": {},
        "data": {"class_names": list(CLASS_NAMES), "digest": "ab12"},
        "fingerprint": {"device": "a known processor"},
        **state,
    }
    tensors = {"examples": panels(8).to_tensors(), "verdicts": (answers or verdicts()).to_tensors()}
    write_checkpoint(folder, tensors, stored)
