"""Builds a trial's model by name; its initial weights depend on the trial's seed alone."""

from collections.abc import Callable

import torch

from trainables.config.trial import TrialConfig
from trainables.errors import ConfigError
from trainables.models import vgg, vgg16, wrn, wrn50
from trainables.models.aib import AIB, AIBParts
from trainables.models.attention import SpatialAttention
from trainables.models.backbone import Backbone
from trainables.models.baselines import assembly
from trainables.models.classifier import Classifier
from trainables.models.pretrained import require_pretrainable
from trainables.models.quantizer import AnchorQuantizer
from trainables.models.traits import MODELS, traits
from trainables.runtime.randomness import stream

__all__ = ["MODELS", "assemble", "build_model"]


def _aib(backbone: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    width, dropout, latent_dim = config.model.width, config.model.dropout, config.bottleneck.latent_dim
    side = backbone.map_side(config.data.image_size)
    parts = AIBParts(
        features=backbone.features(width, dropout),
        attention=SpatialAttention(
            backbone.attention_mean(width, num_classes, dropout),
            config.attention.sigma_kernel,
            config.attention.sigma_offset,
        ),
        quantizer=AnchorQuantizer(config.attention.num_anchors) if config.quantized else None,
        encoder=backbone.encoder(width, 2 * latent_dim, dropout),
        decoder=backbone.decoder(latent_dim, num_classes),
    )
    return AIB(parts, modulation=config.attention.modulation, latent_dim=latent_dim, map_size=(side, side))


_Assembler = Callable[[Backbone, TrialConfig, int], Classifier]

_VGG: dict[str, Backbone] = {"vgg-32": vgg, "vgg-16": vgg16}
_WRN: dict[str, Backbone] = {"wrn-28-10": wrn, "wrn-50-2": wrn50}
_VGG_32: dict[str, Backbone] = {"vgg-32": vgg}
_WRN_28: dict[str, Backbone] = {"wrn-28-10": wrn}

_MODELS: dict[str, tuple[dict[str, Backbone], _Assembler]] = {
    "vgg": (_VGG, assembly.plain),
    "vgg-gap": (_VGG_32, assembly.vgg_gap),
    "vgg-pan": (_VGG_32, assembly.vgg_pan),
    "vgg-dvib": (_VGG, assembly.dvib),
    "vgg-att2": (_VGG_32, assembly.vgg_att2),
    "vgg-att3": (_VGG_32, assembly.vgg_att3),
    "vgg-aib": (_VGG, _aib),
    "vgg-aib-qt": (_VGG, _aib),
    "wrn": (_WRN, assembly.plain),
    "wrn-abn": (_WRN_28, assembly.wrn_abn),
    "wrn-aib": (_WRN, _aib),
    "wrn-aib-qt": (_WRN, _aib),
}


def build_model(config: TrialConfig, num_classes: int) -> Classifier:
    """The trial's model on the CPU in float32, initialised from `config.seed`; torch's default generator is not used.

    Loads no ImageNet weights (`pretrained.load_imagenet` does), because most callers load a trained state next.
    Raises ConfigError for an unknown `model.name`, or a backbone, dropout or pretrained weights it cannot have.
    """
    model = assemble(config, num_classes).to_empty(device="cpu")
    _backbone(config).initialize(model, stream(config.seed, "init"))
    return model


def assemble(config: TrialConfig, num_classes: int) -> Classifier:
    """The trial's model on the meta device: every shape, no memory, no weights. Raises as `build_model`."""
    backbone = _backbone(config)
    if config.model.dropout > 0 and not backbone.HAS_DROPOUT:
        raise ConfigError(
            f"trial field 'model.dropout' is {config.model.dropout}; allowed for {config.model.name}: 0, its backbone "
            f"{config.model.backbone} has no dropout."
        )
    require_pretrainable(config.model)
    _, assembler = _MODELS[config.model.name]
    with torch.device("meta"):
        return assembler(backbone, config, num_classes)


def _backbone(config: TrialConfig) -> Backbone:
    name = config.model.name
    traits(name)
    family, _ = _MODELS[name]
    if config.model.backbone not in family:
        raise ConfigError(
            f"trial field 'model.backbone' is '{config.model.backbone}'; allowed for {name}: {' | '.join(family)}."
        )
    return family[config.model.backbone]
