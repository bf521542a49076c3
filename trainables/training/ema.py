"""An exponential moving average of a model's whole state, as the released code keeps for birds."""

import copy

import torch

from trainables.models.classifier import Classifier


class WeightAverage:
    """Starts at the model's own state. Parameters and BatchNorm statistics are averaged, counters are copied."""

    def __init__(self, model: Classifier, decay: float) -> None:
        """`decay` is the weight, 0 to 1, of what has been; the model's state of the step gets the rest."""
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: Classifier) -> None:
        """Takes the state after one step: average = decay * average + (1 - decay) * state."""
        averages, states = self.model.state_dict(), model.state_dict()
        floating = [name for name, value in averages.items() if value.is_floating_point()]
        torch._foreach_lerp_([averages[name] for name in floating], [states[name] for name in floating], 1 - self.decay)
        for name in averages.keys() - set(floating):
            averages[name].copy_(states[name])
