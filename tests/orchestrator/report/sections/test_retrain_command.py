import shlex
from typing import Any

import pytest

from orchestrator.planning.trials import resolve_trial
from orchestrator.report.sections.retrain_command import retrain_command
from search_spaces.schema import load_spec
from trainables.config.trial import TrialConfig


def trained_by(command: str) -> TrialConfig:
    """What `aib train` makes of the command, read as a shell would."""
    verb, name, *rest = shlex.split(command.replace("\\\n", " "))
    assert (verb, name) == ("aib", "train")
    assert rest[::2] == ["--set"] * (len(rest) // 2)
    return resolve_trial(load_spec(None, rest[1::2]), {})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recipe": "released", "model": "wrn-aib-qt", "dataset": "cifar10", "seed": 7},
        {"bottleneck.beta": 1e-05, "optim.lr": 1e-16, "numerics.tf32": True, "data.train_images": 500},
        {"optim.decay_at_epochs": [2, 4], "optim.warmup_lrs": [0.01], "data.normalization": "half"},
    ],
    ids=["defaults", "other-recipe", "small-numbers", "lists"],
)
def test_the_command_trains_exactly_the_same_configuration(changes: dict[str, Any]) -> None:
    config = TrialConfig.from_dict(changes)
    assert trained_by(retrain_command(config)) == config


def test_the_command_names_only_what_the_recipe_leaves_open() -> None:
    command = retrain_command(TrialConfig.from_dict({"epochs": 6, "bottleneck.beta": 0.1}))
    assert command.splitlines() == [
        "aib train \\",
        "  --set recipe=paper \\",
        "  --set model=vgg-aib-qt \\",
        "  --set dataset=cluttered-digits \\",
        "  --set epochs=6 \\",
        "  --set bottleneck.beta=0.1",
    ]


def test_a_name_with_signs_of_the_shell_stays_one_argument() -> None:
    config = TrialConfig.from_dict({"evaluation.occluder_dataset": "a; rm -rf $(x)"})
    settings = shlex.split(retrain_command(config).replace("\\\n", " "))
    assert "evaluation.occluder_dataset=a; rm -rf $(x)" in settings
