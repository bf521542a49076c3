"""An exponential moving average of a model's whole state, which the released code keeps for CUB-200."""

import copy

import torch

from trainables.models.classifier import Classifier


class WeightAverage:
    """Starts at the model's state. Averages parameters and BatchNorm statistics, copies counters."""

    def __init__(self, model: Classifier, decay: float) -> None:
        """`decay`, 0 to 1, is the weight of the average so far; the state after a step has weight 1 - decay."""
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: Classifier) -> None:
        """Adds the state after one step: average = decay * average + (1 - decay) * state."""
        averages, states = self.model.state_dict(), model.state_dict()
        floating = [name for name, value in averages.items() if value.is_floating_point()]
        torch._foreach_lerp_([averages[name] for name in floating], [states[name] for name in floating], 1 - self.decay)
        for name in averages.keys() - set(floating):
            averages[name].copy_(states[name])
