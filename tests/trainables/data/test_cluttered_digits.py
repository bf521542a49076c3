from pathlib import Path

import numpy as np
import pytest

from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import Split, open_store
from trainables.data.cluttered_digits import cluttered_digits_source, compose, deal_blocks, load_digit_images
from trainables.data.splits import select


def scenes(seed: int, side: int, digits: np.ndarray | None = None) -> Split:
    images = load_digit_images()[0] if digits is None else digits
    return compose(np.arange(100, 300), images, deal_blocks(0)["train"], side, np.random.default_rng(seed))


def test_every_source_digit_is_in_one_block_and_blocks_are_of_one_split() -> None:
    _, labels = load_digit_images()
    dealt = deal_blocks(0)
    blocks = [set(block.ravel().tolist()) for split in ("train", "test") for block in dealt[split]]
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == len(labels) == 1797
    for table in dealt.values():
        assert (labels[table] == np.arange(10)[None, :, None]).all()


def test_scene_shows_nothing_from_other_blocks() -> None:
    """Erasing all digits outside the scenes' blocks changes no pixel; erasing those inside changes scenes."""
    digits, _ = load_digit_images()
    whole = scenes(0, 16)
    used = np.unique(deal_blocks(0)["train"][np.unique(whole.groups_N)])
    only_used, only_others = np.zeros_like(digits), digits.copy()
    only_used[used] = digits[used]
    only_others[used] = 0
    assert np.array_equal(scenes(0, 16, only_used).images_NHWC, whole.images_NHWC)
    assert not np.array_equal(scenes(0, 16, only_others).images_NHWC, whole.images_NHWC)


@pytest.mark.parametrize("side", [16, 32])
def test_mask_is_the_digit_and_of_moderate_area(side: int) -> None:
    found = scenes(0, side)
    masks = found.masks_NHW
    assert masks is not None
    assert set(np.unique(masks)) == {0, 1}
    share = masks.mean(axis=(1, 2))
    assert 0.1 < share.mean() < 0.25
    assert share.min() > 0.03
    # The digit is painted last in one colour: inside the mask the scene varies less than outside.
    inside = np.array([image[mask == 1].std(0).mean() for image, mask in zip(found.images_NHWC, masks, strict=True)])
    outside = np.array([image[mask == 0].std(0).mean() for image, mask in zip(found.images_NHWC, masks, strict=True)])
    assert (inside < outside).mean() > 0.9


def test_classes_and_blocks_are_even_and_pieces_reproducible() -> None:
    source = cluttered_digits_source(16)
    first, again = (next(source.chunks("test")) for _ in range(2))
    assert np.array_equal(first.images_NHWC, again.images_NHWC)
    other = next(cluttered_digits_source(16, seed=1).chunks("test"))
    assert not np.array_equal(first.images_NHWC, other.images_NHWC)
    assert first.groups_N is not None
    pairs = first.groups_N * 10 + first.labels_N
    assert np.bincount(pairs, minlength=80).min() >= 6


def test_default_validation_is_a_balanced_tenth_of_whole_blocks(digits_root: Path) -> None:
    store = open_store(digits_root, "cluttered-digits", 16)
    subsets = select(store, TrialConfig.from_dict({"data.image_size": 16}).data)
    train = store.splits["train"]
    assert train.groups_N is not None
    assert (len(subsets.train), len(subsets.val), len(subsets.test)) == (9000, 1000, 2000)
    assert np.bincount(train.labels_N[subsets.val.indices_N]).tolist() == [100] * 10
    assert not set(train.groups_N[subsets.train.indices_N]) & set(train.groups_N[subsets.val.indices_N])
