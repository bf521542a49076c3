"""Contrast of a map: its spread over the cells. Reported with every score, because constant maps always agree.

B maps, H W map size.
"""

import math

import torch
from torch import Tensor


def std(maps_BHW: Tensor) -> Tensor:
    """Standard deviation over the cells, float64 (B,)."""
    return maps_BHW.flatten(1).double().std(dim=1, correction=0)


def variation(maps_BHW: Tensor) -> Tensor:
    """Coefficient of variation, std over |mean|, float64 (B,); 0 for a map of mean 0."""
    means = maps_BHW.flatten(1).double().mean(dim=1).abs()
    return torch.where(means == 0, 0.0, std(maps_BHW) / torch.where(means == 0, 1.0, means))


def entropy(maps_BHW: Tensor) -> Tensor:
    """Entropy of the map normalised to sum 1, divided by ln(H W), float64 (B,): 1 is flat, 0 is a single cell.

    Negative values, which draws of the attention may have, count as 0. A map without mass, or of one cell, is flat.
    """
    mass = maps_BHW.flatten(1).double().clamp_min(0)
    totals = mass.sum(dim=1, keepdim=True)
    cells = mass.shape[1]
    shares = torch.where(totals == 0, 1.0 / cells, mass / torch.where(totals == 0, 1.0, totals))
    return torch.special.entr(shares).sum(dim=1) / math.log(cells) if cells > 1 else torch.ones(mass.shape[0]).double()
