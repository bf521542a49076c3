import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from trainables.config.trial import DataConfig, TrialConfig
from trainables.data.augment import NORMALIZATIONS, augment, draw, normalize
from trainables.errors import ConfigError

DATA = TrialConfig.from_dict({"dataset": "cifar10"}).data
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (64, 12, 10, 3), dtype=np.uint8))


def data(**changes: Any) -> DataConfig:
    return dataclasses.replace(DATA, **changes)


def one_by_one(config: DataConfig, seed: int) -> torch.Tensor:
    """Reference: the same augmentation in numpy, image by image."""
    height, width = (side - (config.stored_size - config.image_size) for side in IMAGES.shape[1:3])
    draws = draw(len(IMAGES), config, torch.Generator().manual_seed(seed))
    mean, std = (np.array(values) for values in NORMALIZATIONS[config.normalization])
    pad, out = config.crop_padding, []
    for image, row, column, flip in zip(IMAGES.numpy(), *(part.tolist() for part in draws), strict=True):
        margins = ((pad, pad), (pad, pad), (0, 0))
        padded = np.pad(image, margins, mode="reflect" if config.crop_padding_mode == "reflect" else "constant")
        crop = padded[row : row + height, column : column + width]
        crop = crop[:, ::-1] if flip else crop
        out.append(((crop / 255 - mean) / std).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(out)).float()


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 4, 9])
def test_augment_equals_the_image_by_image_reference(mode: str, flip: bool, padding: int) -> None:
    config = data(crop_padding_mode=mode, flip=flip, crop_padding=padding, normalization="cifar10")
    got = augment(IMAGES, config, torch.Generator().manual_seed(3))
    assert got.dtype == torch.float32
    assert got.is_contiguous()
    torch.testing.assert_close(got, one_by_one(config, 3), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("padding", "mode"), [(0, "reflect"), (2, "reflect"), (2, "zeros")])
def test_larger_stored_images_are_cropped_at_random(padding: int, mode: str) -> None:
    config = data(stored_size=256, image_size=253, crop_padding=padding, crop_padding_mode=mode)
    got = augment(IMAGES, config, torch.Generator().manual_seed(3))
    assert got.shape == (64, 3, 9, 7)
    torch.testing.assert_close(got, one_by_one(config, 3), rtol=0, atol=2e-6)
    draws = draw(2000, config, torch.Generator().manual_seed(0))
    places = 2 * padding + 4
    for offsets in (draws.rows_B, draws.columns_B):
        assert np.bincount(offsets.numpy()).shape == (places,)
        assert np.bincount(offsets.numpy()).min() > 0.7 * 2000 / places


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalize_equals_its_definition(name: str) -> None:
    mean, std = (torch.tensor(values)[:, None, None] for values in NORMALIZATIONS[name])
    expected = (IMAGES.permute(0, 3, 1, 2) / 255 - mean) / std
    torch.testing.assert_close(normalize(IMAGES, data(normalization=name)), expected, rtol=0, atol=2e-6)


def test_draws_come_from_the_generator_alone_and_cover_their_ranges() -> None:
    torch.manual_seed(0)
    first = augment(IMAGES, DATA, torch.Generator().manual_seed(7))
    torch.manual_seed(1)
    assert torch.equal(first, augment(IMAGES, DATA, torch.Generator().manual_seed(7)))
    assert not torch.equal(first, augment(IMAGES, DATA, torch.Generator().manual_seed(8)))
    draws = draw(2000, DATA, torch.Generator().manual_seed(0))
    for offsets in (draws.rows_B, draws.columns_B):
        assert np.bincount(offsets.numpy(), minlength=9).min() > 160
    assert abs(float(draws.flips_B.float().mean()) - 0.5) < 0.05


def test_input_is_left_alone_and_inference_mode_is_harmless() -> None:
    before = IMAGES.clone()
    with torch.inference_mode():
        normalize(IMAGES, data(normalization="half"))
    weight = torch.ones(3, 1, 1, requires_grad=True)
    (augment(IMAGES, data(normalization="half"), torch.Generator()) * weight).sum().backward()
    assert weight.grad is not None
    assert torch.equal(IMAGES, before)


def test_reflection_wider_than_the_image_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'data\.crop_padding' is 10; images of 12 x 10 .* at most 9"):
        augment(IMAGES, data(crop_padding=10, crop_padding_mode="reflect"), torch.Generator())
