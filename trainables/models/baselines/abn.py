"""Attention branch network (Fukui et al., 2019): its attention branch has its own classifier and produces the map.

B batch, C classes, H W map size.
"""

import torch
from torch import Tensor, nn

from trainables.models.attention import modulate
from trainables.models.classifier import Classifier, Noise, Output
from trainables.models.layers import GlobalMean, at_least_fp32


class AttentionBranchNetwork(Classifier):
    """Features, an attention branch with its own classifier, a perception branch on f + a f.

    Its map `attention` is a = sigmoid of the branch's map; the branch's logits are the auxiliary logits.
    """

    def __init__(
        self,
        *,
        features: nn.Module,
        class_maps: nn.Module,
        attention_map: nn.Module,
        perception: nn.Module,
        num_classes: int,
        map_size: tuple[int, int],
    ) -> None:
        """`class_maps`: features to (B, C, H, W). `attention_map`: class maps to (B, 1, H, W). `perception`: modulated
        features to (B, C)."""
        super().__init__(map_sizes={"attention": map_size})
        self.features = features
        self.class_maps = class_maps
        self.attention_map = attention_map
        self.attention_logits = nn.Sequential(nn.Conv2d(num_classes, num_classes, 1, bias=False), GlobalMean())
        self.perception = perception

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        f_BCHW = self.features(x_BCHW)
        class_maps_BCHW = self.class_maps(f_BCHW)
        a_BHW = torch.sigmoid(at_least_fp32(self.attention_map(class_maps_BCHW))).squeeze(1)
        logits_BC = at_least_fp32(self.perception(modulate(f_BCHW, a_BHW.unsqueeze(0), "residual")))
        return Output(
            logits_STBC=logits_BC[None, None],
            maps={"attention": a_BHW.detach()},
            auxiliary_logits_BC=at_least_fp32(self.attention_logits(class_maps_BCHW)),
        )
