import cmath
import math

import numpy as np
import pytest
import torch

from trainables.interpretability.frequency import frequency_parts, keep_frequencies


def random_images(count: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, size, size, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def direct_low_part(channel: list[list[int]], radius_bins: float) -> list[list[float]]:
    """Sum over the frequencies (v, u) of the centred spectrum whose distance from (0, 0) is below the radius."""
    size = len(channel)
    bins = range(-size // 2, size - size // 2)
    low = [[0j] * size for _ in range(size)]
    for v in bins:
        for u in bins:
            if not math.hypot(v, u) < radius_bins:
                continue
            wave = [[cmath.exp(2j * math.pi * (v * y + u * x) / size) for x in range(size)] for y in range(size)]
            weight = sum(channel[y][x] * wave[y][x].conjugate() for y in range(size) for x in range(size)) / size**2
            for y in range(size):
                for x in range(size):
                    low[y][x] += weight * wave[y][x]
    return [[value.real for value in row] for row in low]


@pytest.mark.parametrize("radius", [4, 12, 16])
def test_parts_equal_a_direct_transform_with_the_radius_scaled_to_the_image(radius: int):
    images = random_images(1, 8)
    low, high = frequency_parts(images, radius)
    for channel in range(3):
        expected = torch.tensor(direct_low_part(images[0, :, :, channel].tolist(), radius * 8 / 32))
        torch.testing.assert_close(low[0, :, :, channel].float(), expected, atol=1e-3, rtol=0)
        torch.testing.assert_close(
            high[0, :, :, channel].float(), images[0, :, :, channel] - expected, atol=1e-3, rtol=0
        )


@pytest.mark.parametrize("radius", [4, 12])
def test_parts_at_32_equal_the_published_recipe_of_a_disc_around_index_16_16(radius: int):
    images = random_images(3, 32)
    low, high = frequency_parts(images, radius)
    rows, columns = np.mgrid[:32, :32]
    disc = np.sqrt((rows - 16) ** 2 + (columns - 16) ** 2) < radius
    for image, low_part, high_part in zip(images.numpy(), low.numpy(), high.numpy(), strict=True):
        for channel in range(3):
            spectrum = np.fft.fftshift(np.fft.fft2(image[:, :, channel]))
            kept, removed = (np.real(np.fft.ifft2(np.fft.ifftshift(spectrum * m))) for m in (disc, ~disc))
            np.testing.assert_allclose(low_part[:, :, channel], kept, atol=1e-9)
            np.testing.assert_allclose(high_part[:, :, channel], removed, atol=1e-9)


@pytest.mark.parametrize("shape", [(16, 16), (32, 32), (15, 20)])
def test_parts_sum_to_the_image_and_the_high_part_has_no_mean(shape: tuple[int, int]):
    images = random_images(2, 32)[:, : shape[0], : shape[1]]
    low, high = frequency_parts(images, 4)
    torch.testing.assert_close(low + high, images.double(), atol=1e-9, rtol=0)
    assert high.mean(dim=(1, 2)).abs().max() < 1e-9


def test_a_wave_at_the_radius_is_high_and_one_below_it_low():
    def wave(bins: int) -> torch.Tensor:
        return (128 + 100 * torch.cos(2 * math.pi * bins * torch.arange(32) / 32)).round().to(torch.uint8)

    at, below = (wave(bins).expand(32, 32)[None, :, :, None].expand(-1, -1, -1, 3) for bins in (4, 3))
    assert frequency_parts(at, 4)[0].std() < 1
    assert frequency_parts(below, 4)[0].std() > 60


def test_low_frequencies_of_a_small_image_lose_detail_too():
    images = random_images(2, 16)
    low, _ = frequency_parts(images, 12)
    assert (low - images.double()).abs().mean() > 10


def test_minmax_uses_the_full_range_of_each_image_and_channel():
    kept = keep_frequencies(random_images(4, 32), 4, "high", "minmax")
    assert kept.dtype == torch.uint8
    assert (kept.amin(dim=(1, 2)) == 0).all()
    assert (kept.amax(dim=(1, 2)) == 255).all()


def test_clip_keeps_grey_levels_and_cuts_negative_ones():
    images = random_images(4, 32)
    low, high = frequency_parts(images, 12)
    assert torch.equal(keep_frequencies(images, 12, "low", "clip").double(), low.round().clamp(0, 255))
    clipped = keep_frequencies(images, 12, "high", "clip")
    assert torch.equal(clipped == 0, high.round() <= 0)


def test_constant_channels_become_black_under_minmax_instead_of_amplified_rounding():
    constant = torch.full((1, 32, 32, 3), 77, dtype=torch.uint8)
    for part in ("low", "high"):
        assert (keep_frequencies(constant, 4, part, "minmax") == 0).all()
