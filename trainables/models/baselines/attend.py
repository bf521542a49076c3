"""Attention to local features by their compatibility with the global one (Jetley et al., 2018): VGG-att2, VGG-att3.

The variant of the public code that has the size in Table 3: local features after the pools, parametrised compatibility
u^T (l + g), sigmoid weights, concatenation.
B batch, C classes, D channels of the global feature, h w map size.
"""

import torch
from torch import Tensor, nn

from trainables.models.baselines.stage import Stage
from trainables.models.classifier import Classifier, Noise, Output
from trainables.models.layers import GlobalMean, at_least_fp32


class LocalAttention(nn.Module):
    """Weights the cells of one stage's local features."""

    def __init__(self, channels: int, global_channels: int) -> None:
        """Projects the local features first, if their number of channels differs from the global feature's."""
        super().__init__()
        same = channels == global_channels
        self.project = None if same else nn.Conv2d(channels, global_channels, 1, bias=False)
        self.score = nn.Conv2d(global_channels, 1, 1, bias=False)

    def forward(self, l_BChw: Tensor, g_BD: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted local features' mean (B, D), and the weights in (0, 1), (B, h, w)."""
        local_BDhw = l_BChw if self.project is None else self.project(l_BChw)
        weights_B1hw = torch.sigmoid(at_least_fp32(self.score(local_BDhw + g_BD[:, :, None, None])))
        return (weights_B1hw * local_BDhw).mean((2, 3)), weights_B1hw.squeeze(1)


class Attend(Classifier):
    """Classifies by the attended local features of every stage. Its maps are the stages' weights, deepest first."""

    def __init__(
        self,
        *,
        stages: dict[str, Stage],
        after: nn.Module,
        global_channels: int,
        num_classes: int,
    ) -> None:
        """`stages` by the name of their map. `after` maps the last one to (B, D, h, w); global feature: its mean."""
        super().__init__(map_sizes={name: stages[name].map_size for name in reversed(stages)})
        self.stages = nn.ModuleList(stage.layers for stage in stages.values())
        self.after = nn.Sequential(after, GlobalMean())
        self.attention = nn.ModuleList(LocalAttention(stage.channels, global_channels) for stage in stages.values())
        self.classifier = nn.Linear(len(stages) * global_channels, num_classes)

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        f, local = x_BCHW, []
        for stage in self.stages:
            f = stage(f)
            local.append(f)
        g_BD = self.after(f)
        attended, weights = zip(
            *(attend(f, g_BD) for attend, f in zip(self.attention, local, strict=True)), strict=True
        )
        logits_BC = at_least_fp32(self.classifier(torch.cat(attended, dim=1)))
        deepest_first = [map_Bhw.detach() for map_Bhw in reversed(weights)]
        return Output(logits_STBC=logits_BC[None, None], maps=dict(zip(self.map_sizes, deepest_first, strict=True)))
