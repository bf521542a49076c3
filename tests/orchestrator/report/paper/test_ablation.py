from pathlib import Path
from typing import Any

from orchestrator.report.page.document import Picture, Text
from orchestrator.report.paper.ablation import ablation_blocks
from orchestrator.report.source import StudySource


def blocks(study: Any) -> Any:
    (block,) = ablation_blocks([StudySource(study.view(), Path("none"))])
    return block


def test_accuracy_over_beta_is_drawn_over_seeds_with_all_else_equal(new_study: Any) -> None:
    study = new_study(constraints=[])
    for place, (beta, level) in enumerate(((0.1, 30.0), (0.01, 10.0), (0.001, 20.0), (0.01, 12.0))):
        study.trial(f"t{place:05d}", level, seed=place, params={"bottleneck.beta": beta, "bottleneck.latent_dim": 32})
    other = {"bottleneck.beta": 0.001, "bottleneck.latent_dim": 64, "attention.lambda_q": 0.3}
    study.trial("t00004", 1.0, params=other)
    picture = blocks(study)
    assert isinstance(picture, Picture)
    # Test errors are 1.5 above the level: 100 - (11.5 + 13.5) / 2.
    assert picture.alt == "Test accuracy: β over 3 values, highest 87.50 % at 0.01. Not run: K, Q."


def test_a_model_that_has_no_bottleneck_is_no_curve_over_beta(new_study: Any) -> None:
    study = new_study(trial={"model": "vgg-att3", "dataset": "cifar10", "epochs": 6}, constraints=[])
    for place, beta in enumerate((0.1, 0.01)):
        study.trial(f"t{place:05d}", 30.0, params={"bottleneck.beta": beta})
    assert isinstance(blocks(study), Text)


def test_what_was_stopped_is_no_point(new_study: Any) -> None:
    study = new_study(constraints=[])
    study.trial("t00000", 30.0, params={"bottleneck.beta": 0.1})
    study.trial("t00001", 30.0, params={"bottleneck.beta": 0.01}, epochs=3, state="stopped")
    assert "has not been run" in blocks(study).text
