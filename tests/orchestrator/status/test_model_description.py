"""`aib describe`: what is counted, what the paper prints, and why the two differ."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.app import main
from orchestrator.status.model_description import describe_model
from trainables.config.trial import TrialConfig
from trainables.data.catalog import KNOWN_DATASETS
from trainables.models.build import MODELS
from trainables.models.counts import count
from trainables.models.traits import traits
from trainables.paper.published import published_size
from trainables.paper.sizes import UNUSED_LAYER3, compare_sizes

AIB_AT_32 = ("vgg-aib", "vgg-aib-qt", "wrn-aib", "wrn-aib-qt")


def run(arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        main(["describe", *arguments, "--root", str(root)])
    captured = capsys.readouterr()
    return int(leaving.value.code or 0), captured.out, captured.err


def compared(model: str, dataset: str, num_classes: int, parameters: int, macs: int = 0) -> dict[str, Any]:
    """The comparison of a network that has been counted elsewhere."""
    config = TrialConfig.from_dict({"model": model, "dataset": dataset, "recipe": "released"})
    counts = count(TrialConfig.from_dict({}), 10)
    counts = counts._replace(parameters=parameters, parameters_with_buffers=parameters + 1, macs=macs)
    found = compare_sizes(config, num_classes, counts)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("model", "image_size", "num_classes", "published"),
    [
        ("vgg-att3", 32, 10, (19.86, None, None)),
        ("wrn-abn", 32, 100, (64.48, None, None)),
        ("vgg-aib", 32, 10, (20.05, 3.79, 3.43)),
        ("vgg-aib-qt", 224, 200, (24.28, 16.75, 3.81)),
        ("wrn-aib", 32, 100, (65.11, 39.20, 8.60)),
        ("wrn-aib-qt", 224, 200, (130.73, 50.97, 10.66)),
    ],
)
def test_sizes_are_those_of_tables_3_and_4(
    model: str, image_size: int, num_classes: int, published: tuple[float | None, ...]
) -> None:
    assert published_size(model, image_size, num_classes) == published


@pytest.mark.parametrize(("model", "side", "classes"), [("vgg", 32, 10), ("vgg-att3", 224, 200), ("vgg-aib", 64, 10)])
def test_what_the_tables_do_not_have_is_none(model: str, side: int, classes: int) -> None:
    assert published_size(model, side, classes) is None


@pytest.mark.parametrize("recipe", ["paper", "released"])
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "svhn"])
@pytest.mark.parametrize("model", AIB_AT_32)
def test_counted_alike_we_have_what_table_3_prints(model: str, dataset: str, recipe: str, tmp_path: Path) -> None:
    found = describe_model(tmp_path, model, dataset, [f"recipe={recipe}"])
    assert round(found["paper"]["parameters_counted_alike"] / 1e6, 2) == found["paper"]["parameters_M"]
    assert "Counted alike" not in found["paper"]["note"]
    assert ("8 parameters" in found["paper"]["note"]) == (recipe == "paper")


def test_why_a_row_differs_stands_beside_it(tmp_path: Path) -> None:
    vgg, wrn = (describe_model(tmp_path, model, "cifar10", []) for model in ("vgg-aib", "wrn-aib"))
    assert vgg["paper"]["parameters_counted_alike"] == vgg["parameters_with_buffers"]
    assert "parameters_with_buffers" in vgg["paper"]["note"]
    assert round(vgg["macs"] / 1e9, 2) == vgg["paper"]["flops_G"]
    assert wrn["paper"]["parameters_counted_alike"] == wrn["parameters"]
    assert (wrn["paper"]["flops_G"], wrn["paper"]["ms_per_image"]) == (39.14, 8.53)
    assert "registered under two names" in wrn["paper"]["note"]
    assert "cost 12.38 G" in wrn["paper"]["note"]


def test_the_unused_layer_of_wrn_50_2_is_added_for_the_comparison_only() -> None:
    found = compared("wrn-aib", "cub200", 200, 109_990_675, 19_656_000_000)
    assert found["parameters_counted_alike"] == 109_990_675 + UNUSED_LAYER3 == 130_726_675
    assert "20,736,000 parameters of a copy of layer3" in found["note"]
    assert "cost 19.66 G" in found["note"]
    assert "Counted alike" not in found["note"]


def test_vgg_16_names_the_three_further_convolutions() -> None:
    found = compared("vgg-aib", "cub200", 200, 24_275_731)
    assert (found["parameters_M"], found["timed_on"]) == (24.28, "TITAN Xp")
    assert "three further convolutions in both rows" in found["note"]
    assert "Counted alike" not in found["note"]


@pytest.mark.parametrize(
    ("model", "num_classes", "parameters"),
    [
        ("vgg-att3", 10, 19_855_434),
        ("vgg-att3", 100, 19_993_764),
        ("wrn-abn", 10, 64_349_486),
        ("wrn-abn", 100, 64_475_666),
    ],
)
def test_baselines_of_table_3_are_compared_by_parameters(model: str, num_classes: int, parameters: int) -> None:
    found = compared(model, "cifar10" if num_classes == 10 else "cifar100", num_classes, parameters)
    assert round(found["parameters_counted_alike"] / 1e6, 2) == found["parameters_M"]
    assert (found["flops_G"], found["ms_per_image"], found["timed_on"]) == (None, None, None)
    assert found["note"] == "Table 3 counts parameters in this row, without BatchNorm statistics."


@pytest.mark.parametrize(
    ("model", "parameters_m", "flops_g", "macs_g"),
    [("vgg-aib", 24.28, 16.75, 16.74), ("vgg-aib-qt", 24.28, 16.75, 16.74), ("wrn-aib-qt", 130.73, 50.97, 19.62)],
)
def test_birds_stand_on_the_imagenet_networks(
    tmp_path: Path, model: str, parameters_m: float, flops_g: float, macs_g: float
) -> None:
    found = describe_model(tmp_path, model, "cub200", ["recipe=released"])
    assert (found["paper"]["parameters_M"], found["paper"]["flops_G"]) == (parameters_m, flops_g)
    assert round(found["paper"]["parameters_counted_alike"] / 1e6, 2) == parameters_m
    assert round(found["macs"] / 1e9, 2) == macs_g
    assert found["attention_map"] == [14, 14]


@pytest.mark.parametrize("change", ["data.image_size=64", "model.width=0.5"])
def test_another_input_or_width_has_no_published_figures(tmp_path: Path, change: str) -> None:
    assert describe_model(tmp_path, "vgg-aib", "cub200", [change, "model.pretrained=none"])["paper"] is None


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_described_with_its_maps(tmp_path: Path, model: str) -> None:
    found = describe_model(tmp_path, model, "cifar10", [])
    assert tuple(found["attention_maps"]) == traits(model).maps
    assert found["attention_map"] == next(iter(found["attention_maps"].values()), None)
    assert found["parameters_with_buffers"] > found["parameters"] > 19e6
    assert found["macs"] > 3e9


def test_another_latent_size_is_named_as_the_reason(tmp_path: Path) -> None:
    found = describe_model(tmp_path, "vgg-aib", "cifar10", ["bottleneck.latent_dim=1024"])
    assert "bottleneck.latent_dim is 1024 instead of 256" in found["paper"]["note"]
    assert describe_model(tmp_path, "vgg-aib", "cifar10", ["model.width=0.5"])["paper"] is None


def test_one_model_prints_counts_tables_and_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(["wrn-aib-qt", "--dataset", "cifar100"], tmp_path, capsys)
    assert code == 0
    for word in ("65,109,302", "16 x 16", "65.11 M", "39.20 G (here 12.39 G)", "8.84 ms", "TITAN Xp", "two names"):
        assert word in text, word
    code, text, _ = run(["vgg-aib", "--set", "model.width=0.5"], tmp_path, capsys)
    assert (code, "do not list it" in text) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--all"]])
def test_every_model_on_every_data_set_is_a_table(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = run(arguments, tmp_path, capsys)
    assert code == 0
    for name in (*AIB_AT_32, *KNOWN_DATASETS):
        assert name in text
    assert "20,040,801" in text
    assert "39.14" in text


@pytest.mark.slow
def test_the_table_as_json_has_the_keys_of_one_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = run(["--all", "--json"], tmp_path, capsys)
    everything = json.loads(text)
    pairs = [(row["model"], row["dataset"]) for part in ("models", "impossible") for row in everything[part]]
    assert sorted(pairs) == sorted((model, dataset) for model in MODELS for dataset in KNOWN_DATASETS)
    one = json.loads(run(["vgg-aib-qt", "--json"], tmp_path, capsys)[1])
    assert one in everything["models"]
    assert {"model", "dataset", "num_classes", "parameters", "parameters_with_buffers", "macs"} <= set(one)
    assert {"attention_map", "paper"} <= set(one)
    assert one["attention_map"] == one["attention_maps"]["attention"] == [16, 16]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["vgg-aib", "--all"], "without MODEL"),
        (["--dataset", "cifar10"], "without MODEL"),
        (["vgg-aibb"], "did you mean 'vgg-aib'"),
        (["foo"], "'foo'; allowed: vgg |"),
        (["--all", "--set", "bottleneck.bta=1"], "bottleneck.beta"),
    ],
)
def test_what_cannot_be_described_is_refused(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, message = run(arguments, tmp_path, capsys)
    assert code == 2
    assert named in message
