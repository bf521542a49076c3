"""What `aib describe` puts beside the paper's Tables 3 and 4."""

from pathlib import Path

import pytest

from orchestrator.description import describe_model


@pytest.mark.parametrize(
    ("model", "dataset", "parameters_m", "flops_g", "reason"),
    [
        ("vgg-aib", "cifar10", 20.05, 3.79, "BatchNorm statistics"),
        ("wrn-aib", "cifar100", 65.11, 39.20, "12.38 G"),
        ("vgg-aib", "cub200", 24.28, 16.75, "three more convolutions"),
        ("vgg-aib-qt", "cub200", 24.28, 16.75, "bias"),
        ("wrn-aib", "cub200", 130.73, 50.97, "20 736 000"),
        ("wrn-aib-qt", "cub200", 130.73, 50.97, "19.62 G"),
    ],
)
def test_the_papers_figures_stand_beside_ours_with_the_reason(
    tmp_path: Path, model: str, dataset: str, parameters_m: float, flops_g: float, reason: str
) -> None:
    paper = describe_model(tmp_path, model, dataset, ["recipe=released"])["paper"]
    assert (paper["parameters_M"], paper["flops_G"]) == (parameters_m, flops_g)
    assert reason in paper["note"]


def test_figures_of_the_vgg_for_birds_agree_with_the_papers(tmp_path: Path) -> None:
    found = describe_model(tmp_path, "vgg-aib", "cub200", ["recipe=released"])
    assert round(found["parameters"] / 1e6, 2) == found["paper"]["parameters_M"]
    assert found["macs"] / 1e9 == pytest.approx(found["paper"]["flops_G"], abs=0.02)
    assert found["attention_map"] == [14, 14]


@pytest.mark.parametrize("change", ["data.image_size=64", "model.width=0.5", "model.backbone=vgg-32"])
def test_another_network_has_no_published_figures(tmp_path: Path, change: str) -> None:
    found = describe_model(tmp_path, "vgg-aib", "cub200", [change, "model.pretrained=none"])
    assert found["paper"] is None
