"""Example panels: a few images with their modifications, predictions and maps, as small picklable arrays.

N examples, K columns (the clean image first), H W image size, h w map size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables import metrics
from trainables.config.trial import EvaluationConfig
from trainables.interpretability.consistency import cosine
from trainables.interpretability.modifications import modify, require_modifiable
from trainables.interpretability.score import ImageArray, Predict, uint8_batch
from trainables.runtime.randomness import stream

CLEAN = "clean"
SHOWN = ("interp_color_p8", "interp_svhn_p8", metrics.HIGH_FREQUENCIES, metrics.LOW_FREQUENCIES)
"""Modifications shown: one of each kind, at the smallest window size that changes learned maps."""
_ARRAYS = ("images_NKHWC", "maps_NKhw", "predicted_NK", "minmax_cosine_NK", "centered_cosine_NK", "labels_N")


@dataclass(frozen=True, kw_only=True)
class Panels:
    columns: tuple[str, ...]
    """CLEAN, then names of `metrics.MODIFICATIONS`."""
    images_NKHWC: NDArray[np.uint8]
    maps_NKhw: NDArray[np.float32]
    predicted_NK: NDArray[np.int64]
    minmax_cosine_NK: NDArray[np.float64]
    """Cosine of each map with the clean image's map; the comparison with the paper."""
    centered_cosine_NK: NDArray[np.float64]
    labels_N: NDArray[np.int64] | None
    threshold: float
    """`evaluation.interp_threshold`: from this cosine on, two maps count as consistent."""

    def to_tensors(self) -> dict[str, Tensor]:
        """The arrays by name, for a safetensors file."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor], threshold: float) -> "Panels":
        """The inverse of `to_tensors`."""
        arrays = {name: tensors[name].numpy() if name in tensors else None for name in _ARRAYS}
        return Panels(columns=(CLEAN, *SHOWN), threshold=threshold, **arrays)  # type: ignore[arg-type]


def example_panels(
    predict: Predict,
    images: ImageArray,
    labels: Any | None,
    occluders_MHWC: Tensor,
    config: EvaluationConfig,
    seed: int,
    count: int = 8,
) -> Panels:
    """Panels of the first `count` images, in five passes of the model; `labels` are class indices (N,) or None.

    Raises ConfigError as `score_interpretability` does.
    """
    clean_NHWC = uint8_batch(images, slice(0, count))
    require_modifiable(clean_NHWC, occluders_MHWC)
    shown = [clean_NHWC]
    for name in SHOWN:
        generator = stream(seed, "examples", name)
        shown.append(modify(clean_NHWC, name, occluders_MHWC, config.filtered_range, generator))
    found = [predict(images_NHWC, 0) for images_NHWC in shown]
    maps = [prediction.maps_BHW.detach().cpu().double() for prediction in found]
    return Panels(
        columns=(CLEAN, *SHOWN),
        images_NKHWC=torch.stack(shown, dim=1).numpy(),
        maps_NKhw=torch.stack(maps, dim=1).float().numpy(),
        predicted_NK=torch.stack([prediction.labels_B.cpu().long() for prediction in found], dim=1).numpy(),
        minmax_cosine_NK=torch.stack([cosine(maps[0], other, "minmax") for other in maps], dim=1).numpy(),
        centered_cosine_NK=torch.stack([cosine(maps[0], other, "centered") for other in maps], dim=1).numpy(),
        labels_N=None if labels is None else np.asarray(labels[:count]).astype(np.int64),
        threshold=config.interp_threshold,
    )
