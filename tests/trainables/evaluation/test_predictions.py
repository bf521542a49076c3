"""The stored predictions agree with the evaluation that they were collected from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny_trial import on_ranks, tiny_trial
from trainables.data.arrow_store import open_store
from trainables.data.splits import Subset, select
from trainables.evaluation.evaluate import Draws, evaluate
from trainables.evaluation.predictions import NUM_BINS, NUM_WORST, VerdictCollector, Verdicts, score_histogram
from trainables.models.build import build_model
from trainables.models.classifier import Classifier
from trainables.runtime.runtime import Runtime

SIDE_CELLS = 8 * 8


def judged(runtime: Runtime, model: str = "vgg-aib-qt") -> tuple[Verdicts, dict[str, float], Subset, Classifier]:
    """An untrained model's verdicts over 47 images in batches of 20."""
    config = tiny_trial(model=model, data__test_images=47)
    store = open_store(runtime.data_root, "cluttered-digits", 16)
    network, test = build_model(config, store.num_classes), select(store, config.data).test
    collector = VerdictCollector(network, len(test))
    found = evaluate(network, test, "test", config, runtime, Draws(2, 2), collector)
    return collector.verdicts(test, runtime.world_size), found, test, network


def test_confusion_counts_every_image_once_and_gives_the_reported_error(digits_root: Path) -> None:
    verdicts, found, test, _ = judged(Runtime(data_root=digits_root))
    counts_CC = verdicts.confusion(10)
    assert counts_CC.sum() == 47
    assert 100 * (1 - np.trace(counts_CC) / 47) == pytest.approx(found["error_pct"], abs=1e-9)
    assert counts_CC.sum(1).tolist() == np.bincount(test.split.labels_N[test.indices_N], minlength=10).tolist()


def test_worst_errors_are_errors_with_their_own_images(digits_root: Path) -> None:
    verdicts, _, test, _ = judged(Runtime(data_root=digits_root))
    assert len(verdicts.worst_W) == NUM_WORST
    assert (verdicts.predicted_N != verdicts.labels_N)[verdicts.worst_W].all()
    images_WHWC, labels_W = test.batch(verdicts.worst_W)
    assert np.array_equal(verdicts.worst_images_WHWC, images_WHWC.numpy())
    assert np.array_equal(verdicts.labels_N[verdicts.worst_W], labels_W.numpy())
    assert (verdicts.worst_probability_W > 0.1).all()


def test_scores_and_anchors_count_every_cell(digits_root: Path) -> None:
    verdicts, _, _, model = judged(Runtime(data_root=digits_root))
    assert verdicts.score_counts is not None
    assert verdicts.score_edges is not None
    assert verdicts.anchors_Q is not None
    assert verdicts.anchor_counts_Q is not None
    assert verdicts.score_counts.shape == (NUM_BINS,)
    assert verdicts.score_counts.sum() == verdicts.anchor_counts_Q.sum() == 47 * SIDE_CELLS
    assert np.array_equal(verdicts.anchors_Q, model.quantizer.anchors.detach().numpy())  # type: ignore[union-attr]
    # Scores are in (0, 1), between the smallest and the largest anchor with cells.
    used_Q = verdicts.anchors_Q[verdicts.anchor_counts_Q > 0]
    spacing = 1 / (len(verdicts.anchors_Q) - 1)
    assert used_Q.min() >= verdicts.score_edges[0] - spacing
    assert used_Q.max() <= verdicts.score_edges[-1] + spacing


@pytest.mark.parametrize(("model", "kept"), [("vgg", False), ("vgg-att2", True), ("vgg-aib", True)])
def test_only_what_a_model_has_is_kept(digits_root: Path, model: str, kept: bool) -> None:
    tensors = judged(Runtime(data_root=digits_root), model)[0].to_tensors()
    assert {"maps_Mhw", "worst_maps_Whw", "score_counts", "score_edges"} <= set(tensors) or not kept
    assert ("maps_Mhw" in tensors) is kept
    assert "anchors_Q" not in tensors
    again = Verdicts.from_tensors(tensors).to_tensors()
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def _tensors(runtime: Runtime) -> dict[str, torch.Tensor]:
    return judged(runtime)[0].to_tensors()


@pytest.mark.slow
def test_two_ranks_tell_what_one_tells(digits_root: Path) -> None:
    one, (first, second) = _tensors(Runtime(data_root=digits_root)), on_ranks(2, _tensors, digits_root)
    for name, tensor in one.items():
        assert torch.equal(tensor, first[name]), name
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("level", [0.0, 1.0, -37.5, 4096.0])
@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-6])
def test_the_scores_of_a_dead_map_are_counted_too(level: float, spread: float) -> None:
    scores_N = (level + spread * np.arange(64)).astype(np.float32)
    counts, edges = score_histogram(scores_N)
    assert counts.sum() == 64
    assert np.all(np.diff(edges) > 0)


def test_scores_are_counted_over_their_whole_range() -> None:
    counts, edges = score_histogram(np.array([0.25, 0.25, 3.0], np.float32))
    assert (counts[0], counts[-1], edges[0], edges[-1]) == (2, 1, 0.25, 3.0)
