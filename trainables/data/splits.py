"""Selects the training, validation and test images of a prepared data set, by the split seed and stratified by class.

Legend: N images of a split, B of a batch; "positions" count within a subset, "indices" within its split.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from trainables.config.trial import DataConfig
from trainables.data.arrow_store import Split, Store
from trainables.data.crop import centre_crop
from trainables.errors import ConfigError, DataError
from trainables.runtime.randomness import stream_seed

VALIDATION_SHARE = 10
"""By default one training image in this many becomes a validation image; `data.val_images` overrides it."""


@dataclass(frozen=True, eq=False)
class Subset:
    """Some images of one split, in the split's order. Compares by identity, so that it can be a cache key."""

    split: Split
    indices_N: np.ndarray
    side: int | None = None
    """Side in pixels of the central crop of images and masks; None: no crop."""

    def __len__(self) -> int:
        return len(self.indices_N)

    def batch(self, positions_B: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, H, W, C) uint8 and labels (B) int64 at some positions; copies that may be written to."""
        rows_B = self.indices_N[positions_B]
        return self._pixels(self.split.images_NHWC, rows_B), torch.from_numpy(self.split.labels_N[rows_B])

    def masks(self, positions_B: np.ndarray | None = None) -> torch.Tensor:
        """Object masks (B, H, W) uint8, 0 or 1, of all images or at some positions; DataError if there are none."""
        if self.split.masks_NHW is None:
            raise DataError("this data set has no object masks; cluttered-digits has them.")
        rows_B = self.indices_N if positions_B is None else self.indices_N[positions_B]
        return self._pixels(self.split.masks_NHW, rows_B)

    def head(self, limit: int | None) -> "Subset":
        """At most `limit` of the images, stratified by class, always the same ones; None: all images."""
        if limit is None or limit >= len(self):
            return self
        order_N = stratified_order(self.split.labels_N[self.indices_N], np.random.default_rng(0))
        return Subset(self.split, self.indices_N[np.sort(order_N[:limit])], self.side)

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """All images (N, H, W, C) uint8 and labels (N) int64 on a device."""
        images_NHWC, labels_N = self.batch(np.arange(len(self)))
        return images_NHWC.to(device), labels_N.to(device)

    def _pixels(self, stored_NHW: np.ndarray, rows_B: np.ndarray) -> torch.Tensor:
        shown_NHW = stored_NHW if self.side is None else centre_crop(stored_NHW, self.side)
        return torch.from_numpy(shown_NHW[rows_B])


class Subsets(NamedTuple):
    train: Subset
    val: Subset
    test: Subset


def select(store: Store, data: DataConfig) -> Subsets:
    """Sets validation images aside from the training split, then applies the limits.

    Training images keep their stored size, because augmentation crops them; the others are cropped at the centre.
    The validation images depend only on the split seed and `val_images`. The images of a smaller limit are a subset of
    those of a larger one. If the store has groups, no group has images in both training and validation.
    Raises ConfigError for a limit above the number of images.
    """
    train, test = store.splits["train"], store.splits["test"]
    num_val = data.val_images if data.val_images is not None else max(1, len(train.labels_N) // VALIDATION_SHARE)
    train_N, val_N = _set_aside(train, num_val, data.split_seed)
    return Subsets(
        Subset(train, _limit("train_images", data.train_images, train.labels_N, train_N, data.split_seed)),
        Subset(train, val_N, data.image_size),
        Subset(
            test,
            _limit("test_images", data.test_images, test.labels_N, np.arange(len(test.labels_N)), 0),
            data.image_size,
        ),
    )


def stratified_order(labels_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of the rows (N) in which every prefix has the class proportions of the whole."""
    shuffled_N = rng.permutation(len(labels_N))
    by_class_N = shuffled_N[np.argsort(labels_N[shuffled_N], kind="stable")]
    counts = np.bincount(labels_N)
    starts = np.cumsum(counts) - counts
    classes_N = labels_N[by_class_N]
    rank_N = np.arange(len(labels_N)) - starts[classes_N]
    # The k-th of n images of a class is at position (k + 1/2) / n; equal positions are in random class order.
    turn = rng.permutation(len(counts))
    order: np.ndarray = by_class_N[np.lexsort((turn[classes_N], (rank_N + 0.5) / counts[classes_N]))]
    return order


def _set_aside(train: Split, num_val: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row indices for training and for validation, each ascending."""
    num = len(train.labels_N)
    if num_val >= num:
        raise _too_many("val_images", num_val, num - 1)
    rng = np.random.default_rng(stream_seed(seed, "validation"))
    order_N = stratified_order(train.labels_N, rng)
    if train.groups_N is None:
        return np.sort(order_N[num_val:]), np.sort(order_N[:num_val])
    pool_N = _whole_groups(train.labels_N, train.groups_N, order_N[:num_val], rng)
    rest_N = np.flatnonzero(~np.isin(train.groups_N, train.groups_N[pool_N]))
    if not len(rest_N):
        largest = int(np.unique(train.groups_N, return_counts=True)[1].max())
        raise _too_many("val_images", num_val, num - largest)
    chosen_N = pool_N[stratified_order(train.labels_N[pool_N], rng)[:num_val]]
    return rest_N, np.sort(chosen_N)


def _whole_groups(
    labels_N: np.ndarray, groups_N: np.ndarray, wanted_N: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rows of randomly chosen groups that together have at least the classes of the wanted rows."""
    missing = np.bincount(labels_N[wanted_N], minlength=labels_N.max() + 1)
    names, group_of_N = np.unique(groups_N, return_inverse=True)
    counts = np.zeros((len(names), len(missing)), np.int64)
    np.add.at(counts, (group_of_N, labels_N), 1)
    taken = np.zeros(len(names), bool)
    for group in rng.permutation(len(names)):
        if np.any((counts[group] > 0) & (missing > 0)):
            taken[group] = True
            missing = missing - counts[group]
    return np.flatnonzero(taken[group_of_N])


def _limit(field: str, limit: int | None, labels_N: np.ndarray, rows_M: np.ndarray, seed: int) -> np.ndarray:
    if limit is None:
        return rows_M
    if limit > len(rows_M):
        raise _too_many(field, limit, len(rows_M))
    rng = np.random.default_rng(stream_seed(seed, field))
    return np.sort(rows_M[stratified_order(labels_N[rows_M], rng)[:limit]])


def _too_many(field: str, given: int, allowed: int) -> ConfigError:
    return ConfigError(f"trial field 'data.{field}' is {given}; allowed for this data set: 1 to {max(allowed, 0)}.")
