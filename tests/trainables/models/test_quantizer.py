"""Nearest anchors equal hand values and brute force; the straight-through gradient."""

import pytest
import torch

from trainables.models.quantizer import AnchorQuantizer, nearest_anchor


@pytest.mark.parametrize(
    ("anchors", "cells", "indices"),
    [
        ([0.0, 0.5, 1.0], [-3.0, 0.0, 0.2, 0.3, 0.74, 0.76, 1.0, 9.0], [0, 0, 0, 1, 1, 2, 2, 2]),
        ([0.0, 0.5, 1.0], [0.25, 0.75], [0, 1]),  # ties go to the lower index
        ([1.0, 0.5, 0.0], [0.25, 0.75], [1, 0]),  # which is not always the lower value
        ([0.5, 0.0, 1.0, 0.5], [0.5, 0.6, 0.25, 0.75], [0, 0, 0, 0]),  # equal anchors
        ([1.0, 0.0, 0.0, 1.0], [0.5, -1.0, 2.0, 0.4], [0, 1, 0, 1]),
        ([0.3, 0.3], [0.0, 0.3, 1.0], [0, 0, 0]),
        ([-2.0, 4.0], [1.0, 0.9, 1.1], [0, 0, 1]),  # anchors move out of [0, 1] in training
    ],
)
def test_nearest_anchor_by_hand(anchors: list[float], cells: list[float], indices: list[int]) -> None:
    assert nearest_anchor(torch.tensor(cells), torch.tensor(anchors)).tolist() == indices


def brute_force(a: torch.Tensor, anchors_Q: torch.Tensor) -> torch.Tensor:
    distances = (a.double().unsqueeze(-1) - anchors_Q.double()).abs()
    is_nearest = distances == distances.min(-1, keepdim=True).values
    return is_nearest.int().argmax(-1)


@pytest.mark.parametrize("num_anchors", [2, 3, 20, 50, 257])
@pytest.mark.parametrize("grid", [False, True])
def test_nearest_anchor_equals_brute_force(num_anchors: int, grid: bool) -> None:
    generator = torch.Generator().manual_seed(num_anchors)
    anchors = torch.rand(num_anchors, generator=generator)
    a = torch.randn(4, 3, 16, 16, generator=generator) * 0.5 + 0.5
    if grid:  # eighths: many equal anchors and exact ties
        anchors, a = (anchors * 8).round() / 8, (a * 16).round() / 16
    assert torch.equal(nearest_anchor(a, anchors), brute_force(a, anchors))


def test_anchors_start_evenly_from_0_to_1() -> None:
    torch.testing.assert_close(AnchorQuantizer(5).anchors.detach(), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))


def test_forward_values_are_the_anchors_to_the_last_bit() -> None:
    quantizer = AnchorQuantizer(20)
    a = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    quantized = quantizer(a)
    assert torch.equal(quantized.straight_through, quantized.values)
    assert torch.isin(quantized.straight_through, quantizer.anchors).all()


def test_straight_through_passes_the_gradient_unaltered_to_the_map_and_none_to_the_anchors() -> None:
    quantizer = AnchorQuantizer(20)
    a = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    through = quantizer(a).straight_through
    through.retain_grad()
    through.pow(3).sin().sum().backward()
    assert a.grad is not None
    assert torch.equal(a.grad, through.grad)
    assert quantizer.anchors.grad is None


def test_values_pass_the_gradient_to_the_chosen_anchors_only() -> None:
    quantizer = AnchorQuantizer(3)
    a = torch.tensor([0.1, 0.2, 0.9], requires_grad=True)
    (quantizer(a).values * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert a.grad is None
    assert quantizer.anchors.grad is not None
    assert quantizer.anchors.grad.tolist() == [11.0, 0.0, 100.0]


def test_diverged_values_reach_the_output_instead_of_breaking_the_look_up() -> None:
    quantizer = AnchorQuantizer(4)
    assert quantizer(torch.tensor([float("nan"), 0.3])).straight_through.isnan().tolist() == [True, False]
    assert quantizer(torch.tensor([float("inf")])).straight_through.isnan().all()
    with torch.no_grad():
        quantizer.anchors.fill_(float("nan"))
    assert quantizer(torch.tensor([0.3])).values.isnan().all()
