"""The parts that each model has, by name, known without building it, so that a search can be refused at once."""

import difflib
from typing import NamedTuple

from trainables.errors import ConfigError


class Traits(NamedTuple):
    maps: tuple[str, ...] = ()
    """Names of `Output.maps`, the headline map first."""
    draws_attention: bool = False
    latent: bool = False
    """A bottleneck, and so a KL term."""
    quantized: bool = False
    auxiliary: bool = False
    """A second head with its own cross-entropy."""


_AIB = Traits(maps=("attention",), draws_attention=True, latent=True)

TRAITS = {
    "vgg": Traits(),
    "vgg-gap": Traits(maps=("cam",)),
    "vgg-pan": Traits(maps=("last", "gate3", "gate2", "gate1")),
    "vgg-dvib": Traits(latent=True),
    "vgg-att2": Traits(maps=("l3", "l2")),
    "vgg-att3": Traits(maps=("l3", "l2", "l1")),
    "vgg-aib": _AIB,
    "vgg-aib-qt": _AIB._replace(quantized=True),
    "wrn": Traits(),
    "wrn-abn": Traits(maps=("attention",), auxiliary=True),
    "wrn-aib": _AIB,
    "wrn-aib-qt": _AIB._replace(quantized=True),
}

MODELS = tuple(TRAITS)
"""Every `model.name`: the systems of Table 1, in its order of backbones."""

_FIELDS_OF: dict[str, tuple[str, tuple[str, ...]]] = {
    "quantized": (
        "no quantiser",
        (
            "attention.num_anchors",
            "attention.lambda_q",
            "attention.lambda_c",
            "attention.quantizer_reduction",
            "optim.anchor_lr_ratio",
        ),
    ),
    "draws_attention": (
        "no attention that is drawn",
        (
            "attention.sigma_kernel",
            "attention.sigma_offset",
            "attention.modulation",
            "evaluation.attention_samples",
            "evaluation.search_attention_samples",
        ),
    ),
    "latent": (
        "no bottleneck",
        (
            "bottleneck.latent_dim",
            "bottleneck.beta",
            "bottleneck.kl",
            "bottleneck.kl_scale",
            "evaluation.latent_samples",
            "evaluation.search_latent_samples",
        ),
    ),
    "maps": (
        "no spatial map",
        (
            "evaluation.interp_images",
            "evaluation.interp_every_epochs",
            "evaluation.interp_epoch_images",
            "evaluation.interp_threshold",
            "evaluation.occluder_dataset",
            "evaluation.filtered_range",
        ),
    ),
}


def traits(name: str) -> Traits:
    """The traits of a model; ConfigError for an unknown `model.name`, with the valid names."""
    if name not in TRAITS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean '{near[0]}'? Allowed" if near else "allowed"
        raise ConfigError(f"trial field 'model.name' is {name!r}; {hint}: {' | '.join(MODELS)}.")
    return TRAITS[name]


def fields_without_effect(name: str) -> dict[str, str]:
    """Fields of a trial that have no effect on a model -> the part that the model lacks. Raises as `traits`."""
    has = traits(name)._asdict()
    return {field: lacks for trait, (lacks, fields) in _FIELDS_OF.items() if not has[trait] for field in fields}
