import dataclasses

import numpy as np
import pytest
import torch

from tests.support.images import store_of
from trainables.config.trial import DataConfig, TrialConfig
from trainables.data.splits import Subset, select, stratified_order
from trainables.errors import ConfigError, DataError

DATA = TrialConfig.from_dict({}).data


def data(**changes: int) -> DataConfig:
    return dataclasses.replace(DATA, **changes)


LABELS = np.repeat(np.arange(4), (100, 60, 30, 10)).astype(np.int64)


def test_stratified_order_has_every_beginning_in_proportion() -> None:
    order = stratified_order(LABELS, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(200))
    for length in (20, 50, 120):
        counts = np.bincount(LABELS[order[:length]], minlength=4)
        assert np.abs(counts - length * np.array([0.5, 0.3, 0.15, 0.05])).max() <= 1


def test_default_sets_a_tenth_aside_stratified_and_disjoint() -> None:
    subsets = select(store_of(LABELS), DATA)
    assert np.bincount(LABELS[subsets.val.indices_N]).tolist() == [10, 6, 3, 1]
    assert sorted([*subsets.train.indices_N, *subsets.val.indices_N]) == list(range(200))
    assert len(subsets.test) == 20
    assert subsets.test.split is not subsets.train.split


def test_split_depends_on_the_split_seed_alone() -> None:
    store = store_of(LABELS)
    first = select(store, DATA)
    again = select(store, data(train_images=50, test_images=5))
    other = select(store, data(split_seed=1))
    assert np.array_equal(first.val.indices_N, again.val.indices_N)
    assert not np.array_equal(first.val.indices_N, other.val.indices_N)


def test_limits_are_stratified_and_nested() -> None:
    store = store_of(LABELS)
    small, large = (set(select(store, data(train_images=num)).train.indices_N.tolist()) for num in (40, 80))
    assert small < large
    assert np.bincount(LABELS[sorted(small)]).tolist() == [20, 12, 6, 2]
    assert len(select(store, data(test_images=7)).test) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": 181}, r"'data\.train_images' is 181; allowed for this data set: 1 to 180\."),
        ({"test_images": 21}, r"'data\.test_images' is 21; allowed for this data set: 1 to 20\."),
        ({"val_images": 200}, r"'data\.val_images' is 200; allowed for this data set: 1 to 199\."),
        ({"val_images": 50, "train_images": 151}, r"'data\.train_images' is 151; allowed for this data set: 1 to 150"),
    ],
)
def test_more_than_there_are_is_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        select(store_of(LABELS), data(**changes))


@pytest.mark.parametrize("single_class", [True, False])
def test_groups_never_straddle_training_and_validation(single_class: bool) -> None:
    labels = np.tile(np.arange(10), 100).astype(np.int64)
    group = np.arange(1000) // 50
    groups = (group * 10 + labels if single_class else group).astype(np.int64)
    subsets = select(store_of(labels, groups), data(val_images=130))
    assert not set(groups[subsets.train.indices_N]) & set(groups[subsets.val.indices_N])
    assert np.bincount(labels[subsets.val.indices_N]).tolist() == [13] * 10
    assert len(subsets.train) >= 1000 - 130 - 50 * (10 if single_class else 1)


def test_groups_that_leave_nothing_to_train_on_are_refused() -> None:
    labels = np.tile(np.arange(2), 20).astype(np.int64)
    with pytest.raises(ConfigError, match=r"'data\.val_images' is 30; allowed for this data set: 1 to 20\."):
        select(store_of(labels, np.repeat(np.arange(2), 20)), data(val_images=30))


def test_batch_copies_images_and_labels_at_positions() -> None:
    subset = Subset(store_of(LABELS).splits["train"], np.array([5, 150, 199]))
    images, labels = subset.batch(np.array([2, 0]))
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert images[:, 0, 0, 0].tolist() == [199, 5]
    assert labels.tolist() == [3, 0]
    images.zero_()
    assert subset.batch(np.array([2]))[0][0, 0, 0, 0] == 199
    whole, all_labels = subset.tensors(torch.device("cpu"))
    assert whole.shape == (3, 4, 4, 3)
    assert all_labels.tolist() == [0, 1, 3]


def test_head_is_stratified_and_masks_are_optional() -> None:
    subset = select(store_of(LABELS), DATA).train
    assert subset.head(None) is subset.head(9999) is subset
    assert np.bincount(LABELS[subset.head(18).indices_N]).tolist() == [9, 5, 3, 1]
    with pytest.raises(DataError, match="no object masks"):
        subset.masks()
    masks = np.arange(200, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    masked = Subset(subset.split._replace(masks_NHW=masks), np.array([7, 9]))
    assert masked.masks()[:, 0, 0].tolist() == [7, 9]
    assert masked.masks(np.array([1]))[:, 0, 0].tolist() == [9]


def test_larger_stored_images_and_masks_are_cropped_at_the_centre_but_for_training() -> None:
    store = store_of(LABELS)
    stored = store.splits["test"].images_NHWC
    side = stored.shape[1] - 3
    masks = (stored[..., 0] > 100).astype(np.uint8)
    splits = {
        name: split._replace(masks_NHW=masks[:1].repeat(len(split.labels_N), 0)) for name, split in store.splits.items()
    }
    subsets = select(dataclasses.replace(store, splits=splits), data(image_size=side))
    images, _ = subsets.test.tensors(torch.device("cpu"))
    assert np.array_equal(images.numpy(), stored[:, 1:-2, 1:-2])
    assert np.array_equal(subsets.test.masks()[0].numpy(), masks[0, 1:-2, 1:-2])
    assert subsets.val.head(3).tensors(torch.device("cpu"))[0].shape == (3, side, side, 3)
    assert subsets.train.tensors(torch.device("cpu"))[0].shape[1:] == stored.shape[1:]
