"""Stores a finished model's predictions for every test image as small arrays in the checkpoint.

From them the report shows the confusion matrix, the worst errors and comparisons with other models, without running a
model. N test images in the subset's order, M of them kept with their maps, W worst errors, h w map size, Q anchors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainables.data.splits import Subset
from trainables.interpretability.consistency import minmax_scale
from trainables.models.aib import AIB
from trainables.models.classifier import Classifier, Output
from trainables.models.quantizer import nearest_anchor

NUM_WORST = 8
NUM_MAPS = 512
"""Number of test images whose maps are kept, the first ones: half a megabyte at 32 x 32 cells, one byte per cell."""
NUM_BINS = 40
LEAST_SPAN = 1e-3


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Predictions of a model. Each map in `maps_Mhw` and `worst_maps_Whw` is min-max scaled to 0..255."""

    labels_N: NDArray[np.int16]
    predicted_N: NDArray[np.int16]
    worst_W: NDArray[np.int32]
    """Positions of the errors with the highest cross-entropy, highest first."""
    worst_probability_W: NDArray[np.float32]
    """The model's probability of the class that it predicted."""
    worst_images_WHWC: NDArray[np.uint8]
    maps_Mhw: NDArray[np.uint8] | None = None
    worst_maps_Whw: NDArray[np.uint8] | None = None
    score_counts: NDArray[np.int64] | None = None
    """Histogram, with bins `score_edges`, of the cells of all N headline maps before quantisation."""
    score_edges: NDArray[np.float32] | None = None
    anchors_Q: NDArray[np.float32] | None = None
    anchor_counts_Q: NDArray[np.int64] | None = None
    """Number of cells of all N maps for which each anchor is the nearest."""

    def to_tensors(self) -> dict[str, Tensor]:
        """The arrays by name, for a safetensors file."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> "Verdicts":
        """The inverse of `to_tensors`."""
        return Verdicts(**{name: tensor.numpy() for name, tensor in tensors.items()})

    def confusion(self, num_classes: int) -> NDArray[np.int64]:
        """Counts (true class, predicted class)."""
        joined_N = self.labels_N.astype(np.int64) * num_classes + self.predicted_N
        return np.bincount(joined_N, minlength=num_classes**2).reshape(num_classes, num_classes)


class VerdictCollector:
    """Collects predictions during an evaluation (`evaluate.BatchObserver`); each rank fills its batches' rows."""

    def __init__(self, model: Classifier, num_images: int) -> None:
        self._anchors_Q = _anchors(model)
        self._predicted_N = torch.zeros(num_images, dtype=torch.int64)
        self._probability_N = torch.zeros(num_images, dtype=torch.float32)
        self._nll_N = torch.zeros(num_images, dtype=torch.float32)
        size = next(iter(model.map_sizes.values()), None)
        self._scores_Nhw = None if size is None else torch.zeros(num_images, *size, dtype=torch.float32)

    def __call__(self, rows: slice, labels_B: Tensor, logits_BC: Tensor, output: Output) -> None:
        top_B = logits_BC.softmax(1).max(1)
        self._predicted_N[rows] = top_B.indices.cpu()
        self._probability_N[rows] = top_B.values.float().cpu()
        self._nll_N[rows] = functional.cross_entropy(logits_BC, labels_B, reduction="none").float().cpu()
        if self._scores_Nhw is not None:
            headline_BHW = next(iter(output.maps.values()))
            scores_BHW = headline_BHW if output.attention is None else output.attention.mean_BHW
            # NaN becomes 0 here; a diverged model is refused because of its metrics.
            self._scores_Nhw[rows] = scores_BHW.detach().float().nan_to_num().cpu()

    def verdicts(self, subset: Subset, world_size: int) -> Verdicts:
        """The predictions for all ranks' images, the same on every rank; collective. `subset` is the evaluated one."""
        seen = [self._predicted_N, self._probability_N, self._nll_N]
        for rows in [*seen, *([] if self._scores_Nhw is None else [self._scores_Nhw])] if world_size > 1 else []:
            # All other ranks hold zeros in these rows, so the sum is exact.
            dist.all_reduce(rows)
        labels_N = torch.from_numpy(subset.split.labels_N[subset.indices_N])
        errors = (self._predicted_N != labels_N).nonzero()[:, 0]
        worst_W = errors[self._nll_N[errors].argsort(descending=True, stable=True)][:NUM_WORST]
        images_WHWC, _ = subset.batch(worst_W.numpy())
        return Verdicts(
            labels_N=labels_N.numpy().astype(np.int16),
            predicted_N=self._predicted_N.numpy().astype(np.int16),
            worst_W=worst_W.numpy().astype(np.int32),
            worst_probability_W=self._probability_N[worst_W].numpy(),
            worst_images_WHWC=images_WHWC.numpy(),
            **({} if self._scores_Nhw is None else self._of_maps(self._scores_Nhw, worst_W)),
        )

    def _of_maps(self, scores_Nhw: Tensor, worst_W: Tensor) -> dict[str, NDArray[Any]]:
        counts, edges = score_histogram(scores_Nhw.flatten().numpy())
        found: dict[str, NDArray[Any]] = {"score_counts": counts, "score_edges": edges}
        maps_Nhw, anchors_Q = scores_Nhw, self._anchors_Q
        if anchors_Q is not None:
            nearest_Nhw = nearest_anchor(scores_Nhw, anchors_Q)
            found["anchors_Q"] = anchors_Q.numpy()
            found["anchor_counts_Q"] = nearest_Nhw.flatten().bincount(minlength=len(anchors_Q)).numpy()
            maps_Nhw = anchors_Q[nearest_Nhw]
        return {**found, "maps_Mhw": _bytes(maps_Nhw[:NUM_MAPS]), "worst_maps_Whw": _bytes(maps_Nhw[worst_W])}


def score_histogram(scores_N: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Histogram of the scores in `NUM_BINS` equal bins, and the bins' edges.

    A dead map has (nearly) the same score everywhere. Its bins still span a thousandth of the score, because float32
    has too few numbers for 40 narrower bins.
    """
    lowest, highest = float(scores_N.min()), float(scores_N.max())
    span = max(highest - lowest, LEAST_SPAN * max(1.0, abs(lowest)))
    counts, edges = np.histogram(scores_N.astype(np.float64), NUM_BINS, (lowest, lowest + span))
    return counts, edges.astype(np.float32)


def _anchors(model: Classifier) -> Tensor | None:
    if not isinstance(model, AIB) or model.quantizer is None:
        return None
    return model.quantizer.anchors.detach().float().cpu().clone()


def _bytes(maps_Bhw: Tensor) -> NDArray[np.uint8]:
    stretched_Bhw = minmax_scale(maps_Bhw).view(maps_Bhw.shape)
    return (stretched_Bhw * 255).round().to(torch.uint8).numpy()
