import math

import pytest
import torch

from trainables.interpretability import contrast


def test_hand_values():
    maps = torch.tensor([[[0.25, 0.25], [0.25, 0.25]], [[1.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.0, 0.0]]])
    assert contrast.std(maps).tolist() == pytest.approx([0.0, math.sqrt(3) / 4, 0.25])
    assert contrast.variation(maps).tolist() == pytest.approx([0.0, math.sqrt(3), 1.0])
    assert contrast.entropy(maps).tolist() == pytest.approx([1.0, 0.0, 0.5])


def test_maps_without_mass_or_with_one_cell_are_defined_as_flat():
    assert contrast.entropy(torch.zeros(1, 2, 2)).tolist() == pytest.approx([1.0])
    assert contrast.entropy(torch.rand(2, 1, 1)).tolist() == [1.0, 1.0]
    assert contrast.variation(torch.zeros(1, 2, 2)).tolist() == [0.0]


def test_negative_draws_count_as_no_mass():
    maps = torch.tensor([[[1.0, -0.1], [1.0, 0.0]]])
    assert contrast.entropy(maps).tolist() == pytest.approx([0.5])
