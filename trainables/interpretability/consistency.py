"""Attention consistency of §4.4: the cosine of two maps, "flattened and normalized".

The article does not say which normalisation. Scaling cannot change a cosine, so only the offset matters, and there are
three readings:

raw       the maps as they are. Unrelated maps that are mostly on agree almost perfectly.
minmax    each map stretched to [0, 1] first: what the authors' map post-processing does, the paper comparison.
centered  each map minus its mean (Pearson): unrelated maps agree near 0.

A map without contrast says nothing about where to look. Under `minmax` and `centered` it becomes the zero vector, and
the cosine with a zero vector is defined as 0: flat agrees with nothing, not even with flat, so that dead attention
cannot win. Under `raw` two flat maps agree fully, as the plain cosine has it; an all-zero map agrees with nothing.
"""

from typing import Literal

import torch
from torch import Tensor

Reading = Literal["minmax", "raw", "centered"]

FLAT_RELATIVE_RANGE = 1e-6
"""A map whose range is below this share of its largest magnitude is flat: about eight roundings of float32."""


def cosine(first_BHW: Tensor, second_BHW: Tensor, reading: Reading) -> Tensor:
    """Cosine of each pair of maps under one reading, float64 (B,)."""
    first, second = _unit(_offset(first_BHW, reading)), _unit(_offset(second_BHW, reading))
    return (first * second).sum(dim=1)


def minmax_scale(maps_BHW: Tensor) -> Tensor:
    """Each map min-max scaled to [0, 1], float64 (B, H*W); a flat map becomes 0 everywhere."""
    cells = maps_BHW.flatten(1).double()
    lowest, highest = cells.amin(dim=1, keepdim=True), cells.amax(dim=1, keepdim=True)
    span = highest - lowest
    flat = span <= FLAT_RELATIVE_RANGE * torch.maximum(lowest.abs(), highest.abs())
    return torch.where(flat, 0.0, (cells - lowest) / torch.where(flat, 1.0, span))


def _offset(maps_BHW: Tensor, reading: Reading) -> Tensor:
    if reading == "raw":
        return maps_BHW.flatten(1).double()
    stretched = minmax_scale(maps_BHW)  # before centring too: no digits are lost on a map that is nearly constant
    return stretched if reading == "minmax" else stretched - stretched.mean(dim=1, keepdim=True)


def _unit(vectors_BN: Tensor) -> Tensor:
    norms = vectors_BN.norm(dim=1, keepdim=True)
    return torch.where(norms == 0, 0.0, vectors_BN / torch.where(norms == 0, 1.0, norms))
