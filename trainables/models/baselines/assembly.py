"""Builds the baselines from a backbone's parts, at a trial's width, dropout and image size."""

from torch import nn

from trainables.config.trial import TrialConfig
from trainables.models import vgg, wrn
from trainables.models.backbone import Backbone
from trainables.models.baselines.abn import AttentionBranchNetwork
from trainables.models.baselines.attend import Attend
from trainables.models.baselines.dvib import DVIB
from trainables.models.baselines.gap import GlobalAveragePooling
from trainables.models.baselines.pan import ProgressiveAttention
from trainables.models.baselines.plain import Plain
from trainables.models.baselines.stage import Stage
from trainables.models.classifier import Classifier
from trainables.models.layers import half, scaled

SCORE_CHANNELS = 128
"""Width of VGG-PAN's score nets. Our choice: at the features' width they would add a quarter of the network."""


def plain(backbone: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    width, dropout = config.model.width, config.model.dropout
    return Plain(features=backbone.features(width, dropout), encoder=backbone.encoder(width, num_classes, dropout))


def dvib(backbone: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    width, dropout, latent_dim = config.model.width, config.model.dropout, config.bottleneck.latent_dim
    return DVIB(
        features=backbone.features(width, dropout),
        encoder=backbone.encoder(width, 2 * latent_dim, dropout),
        decoder=backbone.decoder(latent_dim, num_classes),
        latent_dim=latent_dim,
    )


def vgg_gap(_: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    """The VGG without its last three pools, so that the last map has a quarter of the image's side, not one cell."""
    width = config.model.width
    trunk = nn.Sequential(
        *vgg.features(width, config.model.dropout),
        *vgg.fourth_block(width),
        *vgg.fifth_block(width, pooled=False),
        *vgg.last_block(width, pooled=False),
        nn.ReLU(inplace=True),
    )
    return GlobalAveragePooling(
        trunk=trunk, channels=scaled(512, width), num_classes=num_classes, map_size=_sides(config)[1]
    )


def vgg_pan(_: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    """Gates after the first three pools; without the last two pools, which would reduce the last map to one cell."""
    width = config.model.width
    stages = _pooled_stages(config)
    return ProgressiveAttention(
        stages=stages,
        after=nn.Sequential(*vgg.last_block(width, pooled=False), nn.ReLU(inplace=True)),
        channels=scaled(512, width),
        map_size=stages[-1].map_size,
        score_channels=scaled(SCORE_CHANNELS, width),
        num_classes=num_classes,
    )


def vgg_att2(_: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    """Attends after the fourth and the fifth block."""
    third, fourth, fifth = _pooled_stages(config)
    joined = fourth._replace(layers=nn.Sequential(third.layers, fourth.layers))
    return _attend({"l2": joined, "l3": fifth}, config, num_classes)


def vgg_att3(_: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    """Also attends after the third block, with its features projected to the width of the global feature."""
    return _attend(dict(zip(("l1", "l2", "l3"), _pooled_stages(config), strict=True)), config, num_classes)


def wrn_abn(_: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    width, dropout = config.model.width, config.model.dropout
    side = wrn.map_side(config.data.image_size)
    return AttentionBranchNetwork(
        features=wrn.features(width, dropout),
        class_maps=nn.Sequential(*wrn.class_maps(width, num_classes, dropout)),
        attention_map=nn.Sequential(*wrn.map_of_classes(num_classes)),
        perception=wrn.encoder(width, num_classes, dropout),
        num_classes=num_classes,
        map_size=(side, side),
    )


def _attend(stages: dict[str, Stage], config: TrialConfig, num_classes: int) -> Classifier:
    width = config.model.width
    return Attend(
        stages=stages,
        after=nn.Sequential(*vgg.last_block(width)),
        global_channels=scaled(512, width),
        num_classes=num_classes,
    )


def _pooled_stages(config: TrialConfig) -> list[Stage]:
    """The VGG cut after each of its first three pools."""
    width = config.model.width
    first, second, third = _sides(config)
    return [
        Stage(vgg.features(width, config.model.dropout), scaled(256, width), first),
        Stage(nn.Sequential(*vgg.fourth_block(width)), scaled(512, width), second),
        Stage(nn.Sequential(*vgg.fifth_block(width)), scaled(512, width), third),
    ]


def _sides(config: TrialConfig) -> list[tuple[int, int]]:
    """Height and width after the first, second and third pool."""
    first = vgg.map_side(config.data.image_size)
    return [(side, side) for side in (first, half(first), half(half(first)))]
