"""The images of the present trial on its device, kept for the next trial of the same process.

A search trains hundreds of trials on the same images: copied once, they cost the others nothing.
"""

from functools import lru_cache
from typing import NamedTuple

import torch

from trainables.config.trial import DataConfig
from trainables.data.arrow_store import Store
from trainables.data.splits import Subset, Subsets, select


class Resident(NamedTuple):
    """Read by trials, never written to."""

    subsets: Subsets
    images_NHWC: torch.Tensor
    """Training images, uint8."""
    labels_N: torch.Tensor


class _ByDigest:
    """A store as a key of the cache: two stores of one digest hold the same images."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByDigest) and other.store.digest == self.store.digest

    def __hash__(self) -> int:
        return hash(self.store.digest)


def resident(store: Store, data: DataConfig, device: torch.device) -> Resident:
    """The subsets of a trial, and its training images on the device; ConfigError as `select` raises it."""
    return _resident(_ByDigest(store), data, device)


def evaluation_tensors(subset: Subset, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """`Subset.tensors`, to be read only: those of validation and test stay on a GPU from epoch to epoch. On the
    processor they are copied for the pass, and otherwise stay in the store's file, which all processes share."""
    return subset.tensors(device) if device.type == "cpu" else _evaluation_tensors(subset, device)


@lru_cache(maxsize=2)
def _evaluation_tensors(subset: Subset, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return subset.tensors(device)


@lru_cache(maxsize=1)
def _resident(key: _ByDigest, data: DataConfig, device: torch.device) -> Resident:
    subsets = select(key.store, data)
    return Resident(subsets, *subsets.train.tensors(device))
