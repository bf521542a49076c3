"""The moving average of the weights equals hand values."""

import pytest
import torch
from torch import nn

from tests.support.tiny_trial import tiny_trial
from trainables.models.build import build_model
from trainables.training.ema import WeightAverage


def test_average_starts_at_the_model_and_follows_by_its_decay() -> None:
    model = build_model(tiny_trial(model="wrn-aib-qt"), 3)
    average = WeightAverage(model, 0.75)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    assert all(torch.equal(value, start[name]) for name, value in average.model.state_dict().items())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.num_batches_tracked is not None:
            module.running_var.add_(1.0)
            module.num_batches_tracked.add_(7)
    average.update(model)
    average.update(model)
    moved = 1 - 0.75**2
    for name, value in average.model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == 7
        elif name.endswith("running_mean"):
            assert torch.equal(value, start[name])
        else:
            torch.testing.assert_close(value, start[name] + moved)


def test_average_shares_no_memory_and_is_not_trained() -> None:
    model = build_model(tiny_trial(), 3)
    average = WeightAverage(model, 0.9)
    assert not any(p.requires_grad for p in average.model.parameters())
    before = {name: value.clone() for name, value in average.model.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert all(torch.equal(value, before[name]) for name, value in average.model.state_dict().items())


@pytest.mark.parametrize("model", ["vgg-aib", "wrn-aib"])
def test_average_of_an_unchanging_model_is_the_model(model: str) -> None:
    network = build_model(tiny_trial(model=model), 3)
    average = WeightAverage(network, 0.9)
    average.update(network)
    for name, value in average.model.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name])
