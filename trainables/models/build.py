"""A trial's model by name, with weights that depend on the trial's seed alone."""

from collections.abc import Callable

import torch

from trainables.config import TrialConfig
from trainables.errors import ConfigError
from trainables.models import vgg, wrn
from trainables.models.aib import AIB
from trainables.models.attention import SpatialAttention
from trainables.models.backbone import Backbone
from trainables.models.baselines import assembly
from trainables.models.classifier import Classifier
from trainables.models.quantizer import AnchorQuantizer
from trainables.models.traits import MODELS, traits
from trainables.randomness import stream

__all__ = ["MODELS", "assemble", "build_model"]


def _aib(backbone: Backbone, config: TrialConfig, num_classes: int) -> Classifier:
    width, dropout, latent_dim = config.model.width, config.model.dropout, config.bottleneck.latent_dim
    side = backbone.map_side(config.data.image_size)
    return AIB(
        features=backbone.features(width, dropout),
        attention=SpatialAttention(
            backbone.attention_mean(width, num_classes, dropout),
            config.attention.sigma_kernel,
            config.attention.sigma_offset,
        ),
        quantizer=AnchorQuantizer(config.attention.num_anchors) if config.quantized else None,
        encoder=backbone.encoder(width, 2 * latent_dim, dropout),
        decoder=backbone.decoder(latent_dim, num_classes),
        modulation=config.attention.modulation,
        latent_dim=latent_dim,
        map_size=(side, side),
    )


_Assembler = Callable[[Backbone, TrialConfig, int], Classifier]

_MODELS: dict[str, tuple[Backbone, _Assembler]] = {
    "vgg": (vgg, assembly.plain),
    "vgg-gap": (vgg, assembly.vgg_gap),
    "vgg-pan": (vgg, assembly.vgg_pan),
    "vgg-dvib": (vgg, assembly.dvib),
    "vgg-att2": (vgg, assembly.vgg_att2),
    "vgg-att3": (vgg, assembly.vgg_att3),
    "vgg-aib": (vgg, _aib),
    "vgg-aib-qt": (vgg, _aib),
    "wrn": (wrn, assembly.plain),
    "wrn-abn": (wrn, assembly.wrn_abn),
    "wrn-aib": (wrn, _aib),
    "wrn-aib-qt": (wrn, _aib),
}


def build_model(config: TrialConfig, num_classes: int) -> Classifier:
    """The trial's model on the CPU in float32, initialised from `config.seed`; torch's default generator is not used.

    Raises ConfigError for an unknown `model.name`, or dropout for a backbone that has none.
    """
    model = assemble(config, num_classes).to_empty(device="cpu")
    backbone, _ = _MODELS[config.model.name]
    backbone.initialize(model, stream(config.seed, "init"))
    return model


def assemble(config: TrialConfig, num_classes: int) -> Classifier:
    """The trial's model on the meta device: every shape, no memory, no weights. Raises as `build_model`."""
    name = config.model.name
    traits(name)
    backbone, assembler = _MODELS[name]
    if config.model.dropout > 0 and not backbone.HAS_DROPOUT:
        raise ConfigError(
            f"trial field 'model.dropout' is {config.model.dropout}; allowed for {name}: 0, it has no dropout."
        )
    with torch.device("meta"):
        return assembler(backbone, config, num_classes)
