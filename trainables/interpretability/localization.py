"""Localization: the share of the attention inside the object's mask, against the mask's share of the area.

The mask is pooled by area to the map's cells: a cell that is 30 % object counts 30 %, and no interpolation smears
attention over cells. Attention mass is the map over its sum (`attention_in_mask_pct`). Learned maps are mostly on,
which pulls the ratio to 1; so the share of the map scaled to [0, 1] is reported too. A flat map is spread evenly under
both readings: its ratio is exactly 1.

B images, N images in all, H W image size, h w map size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables import metrics
from trainables.errors import DataError, DivergedError
from trainables.interpretability.consistency import minmax_scale
from trainables.interpretability.score import ImageArray, Predict, uint8_batch
from trainables.runtime.sharding import Sharding
from trainables.runtime.sums import BatchSums

SUMS = ("located", "mask area", "mass in mask", "stretched mass in mask", "not finite")
"""Columns of the BatchSums that `localization_sums` fills."""


def localization_sums(maps_Bhw: Tensor, masks_BHW: Tensor) -> dict[str, float | Tensor]:
    """Sums each image's shares over one batch; masks are boolean, or shares of coverage in 0..1.

    Leaves out images without an object. Negative attention, which sampling noise can cause, counts as 0.
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
    sharding: Sharding,
) -> dict[str, float]:
    """`metrics.LOCALIZATION` over the first `sharding.num_images` images, one pass of the model; collective.

    `masks` is (N, H, W).
    """
    sums = BatchSums(sharding.num_batches, SUMS)
    for batch, rows in sharding.batches():
        found = predict(uint8_batch(images, rows), batch)
        sums.add(batch, localization_sums(found.maps_BHW, uint8_batch(masks, rows) > 0))
    return localization_metrics(sums.totals(sharding.world_size))


def _share(mass_BN: Tensor, coverage_BN: Tensor) -> Tensor:
    peaks = mass_BN.amax(dim=1, keepdim=True)
    # Divided by its peak, an even map is exactly 1 in every cell; a map without mass is so by definition.
    weights = torch.where(peaks == 0, 1.0, mass_BN / torch.where(peaks == 0, 1.0, peaks))
    return (weights * coverage_BN).sum(dim=1) / weights.sum(dim=1)
