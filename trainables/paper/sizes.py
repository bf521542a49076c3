"""Compares a model's counted size with the article's Tables 3 and 4, and explains each difference."""

from typing import Any

from trainables.config.recipes import recipe
from trainables.config.trial import TrialConfig
from trainables.models.counts import ModelCounts
from trainables.paper.published import published_size

UNUSED_LAYER3 = 20_736_000
"""Parameters of a second copy of WRN-50-2's third group: the released code registers it and never runs it, and Table 3
counts it."""

TIMED_ON = "TITAN Xp"

_SHAPING = ("bottleneck.latent_dim", "attention.num_anchors")
"""Fields outside `model` that decide a network's size."""


def compare_sizes(config: TrialConfig, num_classes: int, counts: ModelCounts) -> dict[str, Any] | None:
    """The content of `paper` in `aib describe`; None if Table 3 lacks the model, or the width is not 1.

    `parameters_counted_alike` counts our network by the table's convention.
    """
    side, name = config.data.image_size, config.model.name
    published = published_size(name, side, num_classes)
    if published is None or config.model.width != 1:
        return None
    alike, convention = _counted_alike(name, side, counts)
    notes = [convention]
    if published.flops_G is not None:
        notes.append(_macs_note(name, side, counts))
    if config.attention.sigma_kernel == 1 and "aib" in name:
        notes.append(
            "The tables' networks have the released code's 3x3 convolution for sigma_a (recipe released), the "
            "article's text a 1x1 one (recipe paper): 8 parameters."
        )
    if round(alike / 1e6, 2) != published.parameters_M:
        notes.append(_other_network(config, alike))
    return {
        "parameters_M": published.parameters_M,
        "parameters_counted_alike": alike,
        "flops_G": published.flops_G,
        "ms_per_image": published.ms_per_image,
        "timed_on": None if published.ms_per_image is None else TIMED_ON,
        "note": " ".join(notes),
    }


def _counted_alike(name: str, side: int, counts: ModelCounts) -> tuple[int, str]:
    """Our parameters by the convention of the model's row in Table 3, and that convention in words."""
    if "aib" in name and name.startswith("vgg") and side == 32:
        why = (
            "Table 3 counts BatchNorm statistics in its VGG-aib rows at 32 x 32: compare with parameters_with_buffers."
        )
        return counts.parameters_with_buffers, why
    if "aib" in name and name.startswith("wrn") and side == 224:
        why = (
            f"Table 3 counts {UNUSED_LAYER3:,} parameters of a copy of layer3 that the released code registers and "
            "never runs; it is not built here."
        )
        return counts.parameters + UNUSED_LAYER3, why
    return counts.parameters, "Table 3 counts parameters in this row, without BatchNorm statistics."


def _macs_note(name: str, side: int, counts: ModelCounts) -> str:
    unit = "Table 4's FLOPs are multiply-accumulates of one draw of a and one of z"
    if name.startswith("wrn"):
        return (
            f"{unit}, and its WRN rows an artefact: the tool counts modules that are registered under two names "
            f"several times over; counted once they cost {counts.macs / 1e9:.2f} G."
        )
    if side == 224:
        return (
            f"{unit}; they fit an attention module with three further convolutions in both rows, while the released "
            "aib without anchors has none. The tool also counts one operation for each bias that is added."
        )
    return f"{unit}."


def _other_network(config: TrialConfig, alike: int) -> str:
    as_published = recipe(config.recipe, config.model.name, config.data.name)
    ours = config.to_dict()
    changed = [
        f"{key} is {ours[key]} instead of {as_published[key]}"
        for key in ours
        if (key.startswith("model.") or key in _SHAPING) and ours[key] != as_published[key]
    ]
    why = ", ".join(changed) or "the article does not describe the difference"
    return f"Counted alike, this network has {alike / 1e6:.2f} M: {why}."
