"""Keeps a trial's images on its device for the next trial of the same process.

A search trains hundreds of trials on the same images; only the first trial copies them.
"""

from functools import lru_cache
from typing import NamedTuple

import torch

from trainables.config.trial import DataConfig
from trainables.data.arrow_store import Store
from trainables.data.splits import Subset, Subsets, select


class Resident(NamedTuple):
    """A trial's images; read only, because later trials share them."""

    subsets: Subsets
    images_NHWC: torch.Tensor
    """Training images, uint8."""
    labels_N: torch.Tensor


class _ByDigest:
    """A store as a cache key: two stores with the same digest hold the same images."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByDigest) and other.store.digest == self.store.digest

    def __hash__(self) -> int:
        return hash(self.store.digest)


def resident(store: Store, data: DataConfig, device: torch.device) -> Resident:
    """The subsets of a trial, and its training images on the device. Raises ConfigError as `select` does."""
    return _resident(_ByDigest(store), data, device)


def evaluation_tensors(subset: Subset, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """`Subset.tensors`, cached on a GPU from epoch to epoch; read only.

    On the CPU they are copied for each pass instead; the store's file stays shared by all processes.
    """
    return subset.tensors(device) if device.type == "cpu" else _evaluation_tensors(subset, device)


@lru_cache(maxsize=2)
def _evaluation_tensors(subset: Subset, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return subset.tensors(device)


@lru_cache(maxsize=1)
def _resident(key: _ByDigest, data: DataConfig, device: torch.device) -> Resident:
    subsets = select(key.store, data)
    return Resident(subsets, *subsets.train.tensors(device))
