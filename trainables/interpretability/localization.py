"""Where the attention lies: its share inside the object's mask, against the mask's share of the area.

The mask is pooled by area to the map's cells, so a cell that is 30 % object counts 30 %, and no attention is smeared
over cells by interpolation. Attention mass is the map itself over its sum (`attention_in_mask_pct`); learned maps are
mostly on, which pulls the ratio to 1, so the share of the map stretched to [0, 1] stands beside it. A flat map is
spread evenly under both: its ratio is exactly 1.

B images, N images in all, H W image size, h w map size.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables import metrics
from trainables.errors import DataError, DivergedError
from trainables.interpretability.consistency import minmax_scale
from trainables.interpretability.score import ImageArray, Predict, uint8_batch
from trainables.runtime.sums import BatchSums

SUMS = ("located", "mask area", "mass in mask", "stretched mass in mask", "not finite")
"""Columns that `localization_sums` fills, for a BatchSums of the caller's own pass."""


def localization_sums(maps_Bhw: Tensor, masks_BHW: Tensor) -> dict[str, float | Tensor]:
    """Sums over one batch of each image's shares; masks are boolean, or shares of coverage in 0..1.

    Images without any object are left out. Negative attention, which sampling noise can cause, counts as 0.
    """
    maps = maps_Bhw.detach().cpu().double()
    coverage = F.interpolate(masks_BHW.cpu().double()[:, None], maps.shape[1:], mode="area").flatten(1)
    located_B = coverage.sum(dim=1) > 0
    area_B = coverage.sum(dim=1) / coverage.shape[1]
    return {
        "located": located_B.sum(),
        "mask area": area_B[located_B].sum(),
        "mass in mask": _share(maps.flatten(1).clamp_min(0), coverage)[located_B].sum(),
        "stretched mass in mask": _share(minmax_scale(maps), coverage)[located_B].sum(),
        "not finite": (~maps.isfinite()).any(),
    }


def localization_metrics(totals: dict[str, float]) -> dict[str, float]:
    """`metrics.LOCALIZATION` from the sums over a data set.

    Raises DataError when no image has an object, DivergedError when a map is not finite.
    """
    if totals["not finite"]:
        raise DivergedError("attention maps are not finite; the model has diverged: lower 'optim.lr'.")
    located, area = totals["located"], totals["mask area"]
    if not located:
        raise DataError("no object mask has a pixel set, so attention cannot be located; prepare the data set again.")
    inside, stretched = totals["mass in mask"], totals["stretched mass in mask"]
    values = (100 * inside / located, 100 * area / located, inside / area, 100 * stretched / located, stretched / area)
    return dict(zip(metrics.LOCALIZATION, values, strict=True))


def score_localization(
    predict: Predict,
    images: ImageArray,
    masks: ImageArray,
    *,
    num_images: int,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
) -> dict[str, float]:
    """`metrics.LOCALIZATION` over the first `num_images` images, one pass of the model; `masks` is (N, H, W).

    Sharded by whole batches as `score_interpretability`; collective when `world_size` is above 1.
    """
    num_batches = math.ceil(num_images / batch_size)
    sums = BatchSums(num_batches, SUMS)
    for batch in range(rank, num_batches, world_size):
        start, stop = batch * batch_size, min((batch + 1) * batch_size, num_images)
        found = predict(uint8_batch(images, start, stop), batch)
        sums.add(batch, localization_sums(found.maps_BHW, uint8_batch(masks, start, stop) > 0))
    return localization_metrics(sums.totals(world_size))


def _share(mass_BN: Tensor, coverage_BN: Tensor) -> Tensor:
    peaks = mass_BN.amax(dim=1, keepdim=True)
    # Over its peak, an even map is exactly 1 in every cell, and so is a map without mass by definition.
    weights = torch.where(peaks == 0, 1.0, mass_BN / torch.where(peaks == 0, 1.0, peaks))
    return (weights * coverage_BN).sum(dim=1) / weights.sum(dim=1)
