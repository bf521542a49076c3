import math

import pytest
import torch

from trainables.interpretability.consistency import cosine, minmax_scale

READINGS = ("minmax", "raw", "centered")
FIRST = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
SECOND = torch.tensor([[[2.0, 1.0], [3.0, 4.0]]])


@pytest.mark.parametrize(("reading", "expected"), [("raw", 29 / 30), ("minmax", 13 / 14), ("centered", 4 / 5)])
def test_each_reading_of_a_small_pair_has_its_hand_value(reading: str, expected: float):
    assert cosine(FIRST, SECOND, reading).tolist() == pytest.approx([expected], abs=1e-12)


@pytest.mark.parametrize("reading", READINGS)
def test_scale_does_not_matter_and_a_map_agrees_with_itself(reading: str):
    maps = torch.rand(5, 4, 4, generator=torch.Generator().manual_seed(0))
    assert cosine(maps, maps, reading).tolist() == pytest.approx([1.0] * 5)
    assert cosine(maps, 3 * maps, reading).tolist() == pytest.approx([1.0] * 5)


@pytest.mark.parametrize(("reading", "invariant"), [("raw", False), ("minmax", True), ("centered", True)])
def test_an_offset_matters_to_the_raw_reading_only(reading: str, invariant: bool):
    shifted = cosine(FIRST, SECOND + 7, reading)
    assert torch.allclose(shifted, cosine(FIRST, SECOND, reading)) is invariant


@pytest.mark.parametrize("noise", [0.0, 3e-8])
@pytest.mark.parametrize("reading", ["minmax", "centered"])
def test_flat_maps_agree_with_nothing_even_when_flat_up_to_rounding(reading: str, noise: float):
    flat = 0.5 + noise * torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    assert cosine(flat, flat, reading).tolist() == [0.0]
    assert cosine(flat, FIRST, reading).tolist() == [0.0]
    assert cosine(FIRST, flat, reading).tolist() == [0.0]


def test_raw_reading_lets_flat_maps_agree_but_not_empty_ones():
    flat, empty = torch.full((1, 2, 2), 0.3), torch.zeros(1, 2, 2)
    assert cosine(flat, 2 * flat, "raw").tolist() == pytest.approx([1.0])
    assert cosine(empty, flat, "raw").tolist() == [0.0]
    assert cosine(empty, empty, "raw").tolist() == [0.0]


def test_small_real_contrast_is_measured_not_lost():
    pattern = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
    nearly_constant = 0.9 + 1e-5 * pattern
    assert cosine(nearly_constant, pattern, "centered").item() == pytest.approx(1.0, abs=1e-3)
    assert cosine(nearly_constant, -pattern, "centered").item() == pytest.approx(-1.0, abs=1e-3)


def test_unrelated_mostly_on_maps_agree_under_raw_and_not_when_centered():
    maps = 0.9 + 0.1 * torch.rand(200, 16, 16, generator=torch.Generator().manual_seed(0))
    others = maps.roll(1, 0)
    assert cosine(maps, others, "raw").min() > 0.99
    assert cosine(maps, others, "minmax").mean() == pytest.approx(0.75, abs=0.02)
    assert cosine(maps, others, "centered").abs().mean() < 3 / math.sqrt(256)


def test_maps_that_are_not_finite_agree_with_nothing():
    broken = torch.tensor([[[math.nan, 1.0], [2.0, 3.0]]])
    for reading in READINGS:
        assert not (cosine(broken, FIRST, reading) >= 0.9).any()


def test_stretch_spans_zero_to_one_and_zeroes_a_flat_map():
    maps = torch.cat([FIRST, torch.full((1, 2, 2), 0.7)])
    assert minmax_scale(maps).tolist() == [pytest.approx([0, 1 / 3, 2 / 3, 1]), [0.0] * 4]
