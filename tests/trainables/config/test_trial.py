"""The trial's configuration is strict, survives a round trip, and gets its defaults from the recipe."""

import math

import pytest

from trainables.config.trial import FIELD_TYPES, TrialConfig
from trainables.errors import ConfigError


@pytest.mark.parametrize("recipe", ["paper", "released"])
@pytest.mark.parametrize("model", ["vgg-aib", "vgg-aib-qt", "wrn-aib", "wrn-aib-qt"])
@pytest.mark.parametrize("dataset", ["cluttered-digits", "cifar10", "svhn", "cub200"])
def test_every_recipe_gives_every_field(recipe: str, model: str, dataset: str) -> None:
    config = TrialConfig.from_dict({"recipe": recipe, "model": model, "dataset": dataset})
    assert set(config.to_dict()) == set(FIELD_TYPES)
    assert TrialConfig.from_dict(config.to_dict()) == config


def test_recipes_differ_where_the_code_differs_from_the_paper() -> None:
    paper, released = (
        TrialConfig.from_dict({"recipe": r, "model": "vgg-aib", "dataset": "cifar10"}).to_dict()
        for r in ("paper", "released")
    )
    assert {key for key in paper if paper[key] != released[key]} == {
        "recipe",
        "attention.quantizer_reduction",
        "attention.sigma_kernel",
        "bottleneck.kl",
        "bottleneck.kl_scale",
        "bottleneck.units",
        "optim.warmup_lrs",
        "optim.decay_at_epochs",
        "evaluation.latent_samples",
    }


def test_released_recipe_of_birds_differs_where_its_code_does() -> None:
    paper, released = (
        TrialConfig.from_dict({"recipe": r, "model": "vgg-aib-qt", "dataset": "cub200"}).to_dict()
        for r in ("paper", "released")
    )
    differing = {key: released[key] for key in paper if paper[key] != released[key]}
    assert differing.pop("optim.decay_at_epochs") == list(range(3, 201, 2))
    assert differing == {
        "recipe": "released",
        "attention.quantizer_reduction": "mean",
        "attention.sigma_kernel": 3,
        "bottleneck.kl": "released",
        "bottleneck.units": "bits",
        "optim.algorithm": "adam",
        "optim.batch_size": 16,
        "optim.lr": 1e-4,
        "optim.betas": [0.5, 0.999],
        "optim.weight_decay": 0.0,
        "optim.decay_factor": 0.97,
        "optim.anchor_lr_ratio": 0.0,
        "optim.ema_decay": 0.999,
        "evaluation.attention_samples": 12,
    }


@pytest.mark.parametrize("recipe", ["paper", "released"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"model": "vgg-aib", "dataset": "cub200"}, ("vgg-16", "imagenet", 0.0, 256, 224, 256)),
        ({"model": "wrn-aib", "dataset": "cub200"}, ("wrn-50-2", "imagenet", 0.0, 256, 224, 256)),
        ({"model": "wrn-aib", "dataset": "cifar10"}, ("wrn-28-10", "none", 0.3, 512, 32, 32)),
        (
            {"model": "wrn-aib", "dataset": "svhn", "model.backbone": "wrn-50-2"},
            ("wrn-50-2", "imagenet", 0.0, 256, 32, 32),
        ),
        ({"model": "vgg-aib", "dataset": "cub200", "model.backbone": "vgg-32"}, ("vgg-32", "none", 0.0, 256, 224, 256)),
        ({"model": "vgg-aib", "dataset": "cub200", "data.image_size": 56}, ("vgg-16", "imagenet", 0.0, 256, 56, 64)),
        ({"model": "vgg-aib", "dataset": "cifar10", "data.image_size": 16}, ("vgg-32", "none", 0.0, 256, 16, 16)),
        ({"dataset": "cifar10", "data.image_size": 16, "data.stored_size": 20}, ("vgg-32", "none", 0.0, 256, 16, 20)),
    ],
)
def test_backbone_and_sizes_follow_model_and_data(
    recipe: str, given: dict[str, object], expected: tuple[object, ...]
) -> None:
    config = TrialConfig.from_dict({"recipe": recipe, **given})
    model, data = config.model, config.data
    found = (model.backbone, model.pretrained, model.dropout, config.bottleneck.latent_dim)
    assert (*found, data.image_size, data.stored_size) == expected


def test_nested_and_dotted_keys_are_the_same_trial() -> None:
    nested = {"model": {"name": "wrn-aib", "width": 0.5}, "data": {"name": "cifar10"}, "bottleneck": {"beta": 1}}
    dotted = {"model": "wrn-aib", "model.width": 0.5, "dataset": "cifar10", "bottleneck.beta": 1.0}
    assert TrialConfig.from_dict(nested) == TrialConfig.from_dict(dotted)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"botleneck.beta": 1}, "did you mean 'bottleneck.beta'"),
        ({"beta": 1}, "did you mean 'bottleneck.beta'"),
        ({"model": {"nmae": "x"}}, "did you mean 'model.name'"),
        ({"epochs": "3"}, "'epochs' is '3'; allowed: a whole number"),
        ({"epochs": 2.5}, "'epochs' is 2.5"),
        ({"epochs": True}, "'epochs' is True"),
        ({"epochs": 0}, "'epochs' is 0; allowed: 1 to"),
        ({"bottleneck.beta": math.nan}, "'bottleneck.beta' is nan; allowed: a finite number"),
        ({"bottleneck.beta": math.inf}, "'bottleneck.beta' is inf"),
        ({"bottleneck.beta": -0.1}, "at least 0"),
        ({"recipe": "papier"}, "paper | released"),
        ({"attention.sigma_kernel": 5}, "1 | 3"),
        ({"optim.decay_at_epochs": [1, "x"]}, "a list of a whole number"),
        ({"model": "vgg-aib", "model.name": "wrn-aib"}, "given twice"),
        ({"data": 3}, "allowed: a name"),
        ({"data.stored_size": 31}, "'data.stored_size' is 31; allowed: at least data.image_size (32)"),
        ({"data.image_size": "32"}, "'data.image_size' is '32'; allowed: a whole number"),
        ({"model.backbone": "vgg-19"}, "vgg-32 | vgg-16 | wrn-28-10 | wrn-50-2"),
        ({"optim.betas": [0.9]}, "two numbers"),
        ({"optim.ema_decay": 1}, "'optim.ema_decay' is 1.0; allowed: 0 up to"),
    ],
)
def test_bad_trial_is_refused_with_the_field_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrialConfig.from_dict(given)
    assert message in str(caught.value)


def test_override_keeps_what_is_not_named() -> None:
    config = TrialConfig.from_dict({"recipe": "released", "optim.lr": 0.03})
    changed = config.override({"seed": 7})
    assert (changed.seed, changed.optim.lr, changed.recipe) == (7, 0.03, "released")


def test_override_of_the_image_size_takes_the_stored_size_along() -> None:
    config = TrialConfig.from_dict({"dataset": "cub200", "data.stored_size": 300})
    assert config.override({"seed": 1}).data.stored_size == 300
    assert config.override({"data.image_size": 112}).data.stored_size == 128
    assert config.override({"data.image_size": 112, "data.stored_size": 112}).data.stored_size == 112
