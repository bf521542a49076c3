"""How a trial's configuration differs from the paper's recipe, in sentences."""

from orchestrator.report.parameter_text import value_text
from trainables.config.recipes import recipe
from trainables.config.trial import TrialConfig
from trainables.models.traits import fields_without_effect

_WITHOUT_EFFECT_ON_RESULT = frozenset(
    {
        "seed",
        "recipe",
        "evaluation.batch_size",
        "evaluation.search_attention_samples",
        "evaluation.search_latent_samples",
        "evaluation.interp_every_epochs",
        "evaluation.interp_epoch_images",
        "numerics.num_threads",
        "numerics.channels_last",
        "numerics.compile",
        "numerics.deterministic",
    }
)
"""Fields that change how a trial is run or observed, but not what it learns or how it is scored."""


def differences_from_paper(config: TrialConfig) -> tuple[str, ...]:
    """One sentence for each field that affects the result and differs from the paper's recipe."""
    ours, paper = config.to_dict(), recipe("paper", config.model.name, config.data.name)
    ignored = {*_WITHOUT_EFFECT_ON_RESULT, *fields_without_effect(config.model.name)}
    return tuple(
        f"{name} is {field_text(name, ours[name])}; in the paper's recipe {field_text(name, paper[name])}."
        for name in ours
        if name not in ignored and field_text(name, ours[name]) != field_text(name, paper[name])
    )


def field_text(name: str, value: object) -> str:
    """The value of the field `name` in words."""
    if value is None:
        return "a tenth" if name == "data.val_images" else "all"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value_text(value)
