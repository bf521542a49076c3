"""Attention consistency of §4.4: the cosine of two maps, "flattened and normalized".

The article does not say which normalisation. Scaling does not change a cosine, so only the offset matters. There are
three readings:

raw       the maps unchanged. Unrelated maps that are mostly on have a cosine of almost 1.
minmax    each map min-max scaled to [0, 1], as in the authors' map post-processing; the comparison with the paper.
centered  each map minus its mean (Pearson): unrelated maps have a cosine near 0.

A flat map says nothing about where the model looks. Under `minmax` and `centered` it becomes the zero vector, and the
cosine with a zero vector is defined as 0, even between two flat maps, so that dead attention cannot win. Under `raw`
two flat maps have cosine 1, as the plain cosine says; an all-zero map has cosine 0 with every map.
"""

from typing import Literal

import torch
from torch import Tensor

Reading = Literal["minmax", "raw", "centered"]

FLAT_RELATIVE_RANGE = 1e-6
"""A map is flat if its range is below this share of its largest magnitude: about eight float32 roundings."""


def cosine(first_BHW: Tensor, second_BHW: Tensor, reading: Reading) -> Tensor:
    """Cosine of each pair of maps under one reading, float64 (B,)."""
    first, second = _unit(_offset(first_BHW, reading)), _unit(_offset(second_BHW, reading))
    return (first * second).sum(dim=1)


def minmax_scale(maps_BHW: Tensor) -> Tensor:
    """Scales each map to [0, 1] by its minimum and maximum, float64 (B, H*W); a flat map becomes 0 everywhere."""
    cells = maps_BHW.flatten(1).double()
    lowest, highest = cells.amin(dim=1, keepdim=True), cells.amax(dim=1, keepdim=True)
    span = highest - lowest
    flat = span <= FLAT_RELATIVE_RANGE * torch.maximum(lowest.abs(), highest.abs())
    return torch.where(flat, 0.0, (cells - lowest) / torch.where(flat, 1.0, span))


def _offset(maps_BHW: Tensor, reading: Reading) -> Tensor:
    if reading == "raw":
        return maps_BHW.flatten(1).double()
    stretched = minmax_scale(maps_BHW)  # before centring too, so that a nearly constant map loses no digits
    return stretched if reading == "minmax" else stretched - stretched.mean(dim=1, keepdim=True)


def _unit(vectors_BN: Tensor) -> Tensor:
    norms = vectors_BN.norm(dim=1, keepdim=True)
    return torch.where(norms == 0, 0.0, vectors_BN / torch.where(norms == 0, 1.0, norms))
