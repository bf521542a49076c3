"""Interpretability score of §4.4 (Table 2): how often a modification of the image leaves the attention map unchanged.

score(modification) = 100 * |same prediction and cosine >= t| / |same prediction|

Only images whose prediction stays the same count, right or wrong; the score is 0 when no prediction stays the same.
The chance level (maps of different images) and the contrast of the maps are reported too: a score means nothing
without them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from trainables import metrics
from trainables.config.trial import EvaluationConfig
from trainables.errors import ConfigError, DivergedError
from trainables.interpretability import contrast
from trainables.interpretability.consistency import Reading, cosine
from trainables.interpretability.modifications import modify, require_modifiable
from trainables.runtime.randomness import stream
from trainables.runtime.sharding import Sharding
from trainables.runtime.sums import BatchSums


class Prediction(NamedTuple):
    """A model's output for one batch, on any device."""

    labels_B: Tensor
    """Predicted class index."""
    maps_BHW: Tensor
    """The headline map, without noise."""
    further: Mapping[str, Tensor] = MappingProxyType({})
    """The model's other maps (B, h, w) by name."""


Predict = Callable[[Tensor, int], Prediction]
"""(raw uint8 images (B, H, W, C) on the CPU, batch index) -> prediction. The batch index keys the sampling noise, which
is therefore the same for an image and its modifications: only the image differs."""


class ImageArray(Protocol):
    """An array of raw uint8 images (N, H, W, C): a NumPy array (memory-mapped too) or a CPU tensor."""

    def __getitem__(self, rows: slice, /) -> Any: ...


READINGS: tuple[Reading, ...] = ("minmax", "raw", "centered")
_SUBJECTS = (*metrics.MODIFICATIONS, metrics.INTERP_CHANCE)


def score_interpretability(
    predict: Predict,
    images: ImageArray,
    sharding: Sharding,
    *,
    occluders_MHWC: Tensor,
    config: EvaluationConfig,
    seed: int,
    further: Sequence[str] = (),
) -> dict[str, float]:
    """All figures of `metrics.INTERPRETABILITY` over the first `sharding.num_images` images, in eleven passes.

    `further` names the model's further maps; each is reported as `metrics.INTERP_FURTHER` under `metrics.of_map`.

    Every rank returns the same figures, equal to the last bit for any number of ranks; collective over the ranks. The
    modified images depend only on (seed, modification, batch index): a seed that stays the same from trial to trial
    shows every model the same images. Chance pairs each image of a batch with the one before it, the first with the
    last; a batch of one image has no pair.
    Raises ConfigError for images too small for the largest window, unusable occluders or no images, and DivergedError,
    on every rank, for maps that are not finite.
    """
    num_images = sharding.num_images
    if num_images < 1 or sharding.batch_size < 1:
        raise ConfigError(
            f"interpretability of {num_images} images in batches of {sharding.batch_size}; allowed: at least 1 each "
            "('evaluation.interp_images', 'evaluation.batch_size')."
        )
    # Every rank checks before the first pass: a rank that stops alone would leave the others waiting.
    require_modifiable(uint8_batch(images, slice(num_images - 1, num_images)), occluders_MHWC)
    sums = BatchSums(sharding.num_batches, _columns(further))
    for batch, rows in sharding.batches():
        images_BHWC = uint8_batch(images, rows)
        clean = _on_cpu(predict(images_BHWC, batch))
        sums.add(batch, {"images": len(images_BHWC)})
        for prefix, maps in _maps(clean, further):
            sums.add(batch, _prefixed(prefix, _contrast_sums(maps)))
        paired_B = torch.full((images_BHWC.shape[0],), images_BHWC.shape[0] > 1)
        others_BHW = clean.maps_BHW.roll(1, dims=0)
        curve = {"pct": config.interp_threshold, **metrics.INTERP_CURVE}
        sums.add(batch, _agreement_sums(metrics.INTERP_CHANCE, clean.maps_BHW, others_BHW, paired_B, curve))
        for name in metrics.MODIFICATIONS:
            generator = stream(seed, "interpretability", name, batch)
            modified_BHWC = modify(images_BHWC, name, occluders_MHWC, config.filtered_range, generator)
            found = _on_cpu(predict(modified_BHWC, batch))
            kept_B = found.labels_B == clean.labels_B
            for (prefix, first), (_, second) in zip(_maps(clean, further), _maps(found, further), strict=True):
                thresholds = {"pct": config.interp_threshold} if prefix else curve
                sums.add(batch, _prefixed(prefix, _agreement_sums(name, first, second, kept_B, thresholds)))
    totals = sums.totals(sharding.world_size)
    return {name: value for prefix in ("", *further) for name, value in _figures(totals, prefix).items()}


def uint8_batch(images: ImageArray, rows: slice) -> Tensor:
    """Some images as a tensor; copies the rows of an array, because a memory-mapped one may be read-only."""
    found = images[rows]
    return found if isinstance(found, Tensor) else torch.from_numpy(np.array(found))


def _on_cpu(prediction: Prediction) -> Prediction:
    # float64, because near-constant maps differ in digits that float32 loses. Not every device has float64.
    further = {name: maps.detach().cpu().double() for name, maps in prediction.further.items()}
    return Prediction(prediction.labels_B.cpu(), prediction.maps_BHW.detach().cpu().double(), further)


def _maps(prediction: Prediction, further: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """The headline map under the empty name, then the further maps."""
    yield "", prediction.maps_BHW
    for name in further:
        yield name, prediction.further[name]


def _of(prefix: str, name: str) -> str:
    return metrics.of_map(prefix, name) if prefix else name


def _prefixed(prefix: str, sums: dict[str, float | Tensor]) -> dict[str, float | Tensor]:
    return {_of(prefix, name): value for name, value in sums.items()}


def _columns(further: Sequence[str]) -> list[str]:
    return [
        "images",
        *metrics.INTERP_MAPS,
        *(name for subject in _SUBJECTS for name in _agreement_columns(subject, ("pct", *metrics.INTERP_CURVE))),
        *(
            _of(prefix, name)
            for prefix in further
            for name in (
                *metrics.INTERP_MAPS,
                *(name for subject in metrics.MODIFICATIONS for name in _agreement_columns(subject, ("pct",))),
            )
        ),
    ]


def _agreement_columns(subject: str, quantities: Sequence[str]) -> list[str]:
    named = [metrics.interp_metric(subject, r, q) for r in READINGS for q in (*quantities, "mean_cosine")]
    return [f"{subject} pairs", f"{subject} not finite", *named]


def _contrast_sums(maps_BHW: Tensor) -> dict[str, float | Tensor]:
    measured = (contrast.std(maps_BHW), contrast.variation(maps_BHW), contrast.entropy(maps_BHW))
    return {name: values_B.sum() for name, values_B in zip(metrics.INTERP_MAPS, measured, strict=True)}


def _agreement_sums(
    subject: str, first_BHW: Tensor, second_BHW: Tensor, counted_B: Tensor, thresholds: Mapping[str, float]
) -> dict[str, float | Tensor]:
    sums: dict[str, float | Tensor] = {
        f"{subject} pairs": counted_B.sum(),
        f"{subject} not finite": (~second_BHW.isfinite()).any(),
    }
    for reading in READINGS:
        cosines = cosine(first_BHW, second_BHW, reading)[counted_B]
        sums[metrics.interp_metric(subject, reading, "mean_cosine")] = cosines.sum()
        for quantity, threshold in thresholds.items():
            sums[metrics.interp_metric(subject, reading, quantity)] = (cosines >= threshold).sum()
    return sums


def _figures(totals: dict[str, float], prefix: str) -> dict[str, float]:
    """`metrics.INTERPRETABILITY` of the headline map (empty prefix), `metrics.INTERP_FURTHER` of another map."""
    num_images = totals["images"]
    subjects = metrics.MODIFICATIONS if prefix else _SUBJECTS
    broken = [subject for subject in subjects if totals[_of(prefix, f"{subject} not finite")]]
    if broken:
        raise DivergedError(
            f"attention maps are not finite under {', '.join(broken)}; the model has diverged: lower 'optim.lr'."
        )
    figures = {_of(prefix, name): totals[_of(prefix, name)] / num_images for name in metrics.INTERP_MAPS}
    quantities = ("pct",) if prefix else ("pct", *metrics.INTERP_CURVE, "mean_cosine")
    for subject in subjects:
        pairs = totals[_of(prefix, f"{subject} pairs")]
        if not prefix and subject != metrics.INTERP_CHANCE:
            figures[f"{subject}_consistent_pct"] = 100 * pairs / num_images
        for reading in READINGS:
            for quantity in quantities:
                name = _of(prefix, metrics.interp_metric(subject, reading, quantity))
                scale = 1 if quantity == "mean_cosine" else 100
                figures[name] = scale * totals[name] / pairs if pairs else 0.0
    for reading in READINGS:
        scores = [figures[_of(prefix, metrics.interp_metric(name, reading))] for name in metrics.MODIFICATIONS]
        figures[_of(prefix, metrics.INTERP_MEANS[reading])] = math.fsum(scores) / len(scores)
    if not prefix:
        return figures
    reported = [_of(prefix, name) for name in metrics.INTERP_FURTHER]
    return {name: figures[name] for name in reported}
