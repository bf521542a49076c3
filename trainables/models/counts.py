"""Counts the parameters and the cost of a trial's model from shapes alone, without memory or computation."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.config.trial import TrialConfig
from trainables.models.build import assemble
from trainables.models.classifier import Noise


class ModelCounts(NamedTuple):
    parameters: int
    """Trainable parameters: Table 3, except its VGG-aib rows."""
    parameters_with_buffers: int
    """Everything in the state dict, BatchNorm statistics included: Table 3's VGG-aib rows."""
    macs: int
    """Multiply-accumulates of convolutions and linear layers for one image, one draw of a and one of z.

    Table 4 calls them FLOPs; its WRN rows count modules several times that were registered twice.
    """
    map_sizes: dict[str, tuple[int, int]]
    """Height and width of the model's maps by name, the headline map first."""


def count(config: TrialConfig, num_classes: int) -> ModelCounts:
    """Counts the model of a trial; ConfigError for an unknown `model.name`."""
    model = assemble(config, num_classes).eval()
    side = config.data.image_size
    with torch.device("meta"):
        image = torch.empty(1, 3, side, side)
        noise = Noise(*(None if shape is None else torch.empty(shape) for shape in model.noise_shapes(1, 1, 1)))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image, noise)
    return ModelCounts(
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        parameters_with_buffers=sum(value.numel() for value in model.state_dict().values()),
        macs=counter.get_total_flops() // 2,
        map_sizes=model.map_sizes,
    )
