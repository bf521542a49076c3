"""Progressive attention (Seo et al., 2018), without its query, which classification does not have.

After every pool a score net gates each cell of the features with a sigmoid. A last attention, a softmax over the cells,
weights the last feature map; its weighted sum is classified. Seo et al. do not use this backbone for classification:
the pools that it keeps, and the score nets' width, are our choice.
B batch, C classes, D channels of the last feature map, h w map size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.models.baselines.stage import Stage
from trainables.models.classifier import Classifier, Noise, Output
from trainables.models.layers import at_least_fp32


class ScoreNet(nn.Sequential):
    """One score per cell: Conv (3x3 includes the neighbours, 1x1 only the cell), BN, ReLU, Conv(1x1, 1)."""

    def __init__(self, channels: int, hidden: int, kernel: int, *, bias: bool) -> None:
        super().__init__(
            nn.Conv2d(channels, hidden, kernel, padding=kernel // 2),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 1, 1, bias=bias),
        )


class ProgressiveAttention(Classifier):
    """Its maps are the last attention, `last`, then the gates from the deepest to the first, `gateN` ... `gate1`."""

    def __init__(
        self,
        *,
        stages: Sequence[Stage],
        after: nn.Module,
        channels: int,
        map_size: tuple[int, int],
        score_channels: int,
        num_classes: int,
    ) -> None:
        """Each of `stages` ends with a pool. `after` maps the last stage's gated features to (B, D, h, w), where
        D = `channels` and h, w = `map_size`."""
        gates = {f"gate{number}": stage.map_size for number, stage in reversed(list(enumerate(stages, 1)))}
        super().__init__(map_sizes={"last": map_size, **gates})
        self.stages = nn.ModuleList(stage.layers for stage in stages)
        self.gates = nn.ModuleList(ScoreNet(stage.channels, score_channels, 3, bias=True) for stage in stages)
        self.after = after
        # No bias, because a softmax ignores it.
        self.last = ScoreNet(channels, score_channels, 1, bias=False)
        self.normalize = nn.BatchNorm1d(channels)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        f, gates = x_BCHW, []
        for stage, score in zip(self.stages, self.gates, strict=True):
            f = stage(f)
            gate_B1hw = torch.sigmoid(at_least_fp32(score(f)))
            f = gate_B1hw * f
            gates.append(gate_B1hw.squeeze(1).detach())
        f_BDhw = self.after(f)
        scores_BN = at_least_fp32(self.last(f_BDhw)).flatten(1)
        weights_Bhw = scores_BN.softmax(1).unflatten(1, f_BDhw.shape[2:])
        attended_BD = (weights_Bhw.unsqueeze(1) * f_BDhw).sum((2, 3))
        logits_BC = at_least_fp32(self.classifier(self.normalize(attended_BD)))
        maps = [weights_Bhw.detach(), *reversed(gates)]
        return Output(logits_STBC=logits_BC[None, None], maps=dict(zip(self.map_sizes, maps, strict=True)))
