"""Learning rates equal the published schedules; SGD's parameter groups."""

import pytest
import torch
from torch import nn

from trainables.config.trial import TrialConfig
from trainables.training.optim import build_optimizer, learning_rate, load_optimizer, optimizer_state, set_learning_rate


@pytest.mark.parametrize(
    ("recipe", "model", "rates"),
    [
        ("paper", "vgg-aib", {1: 0.1, 25: 0.1, 26: 0.05, 50: 0.05, 51: 0.025, 200: 0.1 * 0.5**7}),
        ("paper", "wrn-aib", {1: 0.1, 59: 0.1, 60: 0.03, 120: 0.009, 180: 0.0027}),
        ("released", "vgg-aib", {1: 0.01, 2: 0.1, 24: 0.1, 25: 0.05, 200: 0.1 * 0.5**8}),
        ("released", "vgg-aib-qt", {1: 0.001, 2: 0.01, 3: 0.1, 25: 0.05}),
        ("released", "wrn-aib-qt", {1: 0.1, 60: 0.1, 61: 0.02, 121: 0.004, 161: 0.0008}),
    ],
)
def test_learning_rate_follows_the_recipe(recipe: str, model: str, rates: dict[int, float]) -> None:
    optim = TrialConfig.from_dict({"recipe": recipe, "model": model, "dataset": "cifar10"}).optim
    assert {epoch: learning_rate(optim, epoch) for epoch in rates} == pytest.approx(rates)


@pytest.mark.parametrize("model", ["vgg-aib", "wrn-aib-qt"])
def test_learning_rate_of_birds_falls_every_second_epoch_in_the_released_recipe(model: str) -> None:
    optim = TrialConfig.from_dict({"recipe": "released", "model": model, "dataset": "cub200"}).optim
    rates = {1: 1e-4, 2: 1e-4, 3: 0.97e-4, 4: 0.97e-4, 5: 0.97**2 * 1e-4, 200: 0.97**99 * 1e-4}
    assert {epoch: learning_rate(optim, epoch) for epoch in rates} == pytest.approx(rates)


class Quantized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.anchors = nn.Parameter(torch.ones(2))


def test_anchors_have_their_own_rate_and_everything_decays() -> None:
    config = TrialConfig.from_dict({"recipe": "released", "model": "wrn-aib-qt", "dataset": "cifar10"})
    optimizer = build_optimizer(Quantized(), config.optim)
    set_learning_rate(optimizer, 0.1)
    weights, anchors = optimizer.param_groups
    assert (weights["lr"], anchors["lr"]) == pytest.approx((0.1, 1e-5))
    assert weights["weight_decay"] == anchors["weight_decay"] == 5e-4


@pytest.mark.parametrize(
    ("algorithm", "quantities"), [("sgd", {"momentum_buffer"}), ("adam", {"exp_avg", "exp_avg_sq", "step"})]
)
def test_optimizer_restored_continues_bit_for_bit(algorithm: str, quantities: set[str]) -> None:
    optim = TrialConfig.from_dict({"optim.algorithm": algorithm}).optim

    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            sum((p**3).sum() for p in model.parameters()).backward()
            optimizer.step()

    whole, first, second = Quantized(), Quantized(), Quantized()
    steps(whole, build_optimizer(whole, optim), 4)
    optimizer = build_optimizer(first, optim)
    steps(first, optimizer, 2)
    second.load_state_dict(first.state_dict())
    resumed = build_optimizer(second, optim)
    state = optimizer_state(first, optimizer)
    assert set(state) == {f"{quantity}/{name}" for quantity in quantities for name in ("weight", "anchors")}
    load_optimizer(second, resumed, state)
    # The loaded state is a copy: later steps of the first optimiser must not change it.
    steps(first, optimizer, 1)
    steps(second, resumed, 2)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_restored_state_is_laid_out_as_its_parameters() -> None:
    model = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, TrialConfig.from_dict({}).optim)
    values = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    load_optimizer(model, optimizer, {"momentum_buffer/weight": values})
    found = optimizer_state(model, optimizer)["momentum_buffer/weight"]
    assert torch.equal(found, values)
    assert found.stride() == model.weight.stride() != values.stride()


def test_adam_has_the_recipes_betas_and_leaves_frozen_anchors() -> None:
    config = TrialConfig.from_dict({"recipe": "released", "model": "vgg-aib-qt", "dataset": "cub200"})
    model = Quantized()
    optimizer = build_optimizer(model, config.optim)
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["betas"] for group in optimizer.param_groups] == [(0.5, 0.999)] * 2
    set_learning_rate(optimizer, learning_rate(config.optim, 1))
    sum((p**3).sum() for p in model.parameters()).backward()
    optimizer.step()
    assert torch.equal(model.anchors, torch.ones(2))
    # Adam's first step has the size of its learning rate.
    torch.testing.assert_close(model.weight, torch.full((3,), 1 - 1e-4))
