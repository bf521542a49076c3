"""Global average pooling with class activation maps (Zhou et al., 2016).

B batch, C classes, D channels of the last feature map, h w its size.
"""

from torch import Tensor, nn

from trainables.models.classifier import Classifier, Noise, Output
from trainables.models.layers import at_least_fp32


class GlobalAveragePooling(Classifier):
    """Convolutions, the mean of their last maps, one linear layer.

    Its map `cam` is the sum of the last maps, weighted with the weights of the predicted class; the class's logit is
    the map's mean plus the bias. Cells that lower the logit are negative.
    """

    def __init__(self, *, trunk: nn.Module, channels: int, num_classes: int, map_size: tuple[int, int]) -> None:
        """`trunk` maps images to (B, D, h, w) with D = `channels`."""
        super().__init__(map_sizes={"cam": map_size})
        self.trunk = trunk
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x_BCHW: Tensor, noise: Noise) -> Output:
        f_BDhw = self.trunk(x_BCHW)
        logits_BC = at_least_fp32(self.classifier(f_BDhw.mean((2, 3))))
        weights_BD = self.classifier.weight.detach()[logits_BC.detach().argmax(1)]
        # Not a matrix product, because autocast would compute it in bf16.
        cam_Bhw = (at_least_fp32(f_BDhw.detach()) * weights_BD[:, :, None, None]).sum(1)
        return Output(logits_STBC=logits_BC[None, None], maps={"cam": cam_Bhw})
