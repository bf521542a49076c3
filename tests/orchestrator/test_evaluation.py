"""A trained model on its own data set and on others, with a map, several or none: `aib evaluate`."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.app import main
from orchestrator.evaluation import evaluate_model
from tests.trainables.data.images import write_prepared
from tests.trainables.tiny import tiny_trial
from trainables import metrics
from trainables.data.catalog import KNOWN
from trainables.errors import ConfigError, DataError
from trainables.export import LoadedModel, export_model, load_exported
from trainables.models.build import build_model

CIFAR10, STL10, DIGITS = (KNOWN[name].class_names or () for name in ("cifar10", "stl10", "svhn"))
NUMBERED = tuple(map(str, range(10)))
ERRORS = {"test_error_pct", "test_error_top5_pct", "test_nll"}
MAPS = {"test_attention_std", "test_attention_entropy", *metrics.LOCALIZATION}


def exported(folder: Path, model: str) -> LoadedModel:
    config = tiny_trial(model=model, data__test_images=30)
    return load_exported(export_model(folder, build_model(config, 10).state_dict(), config, DIGITS, {}, {}, "# card"))


@pytest.mark.parametrize(
    ("model", "measured"),
    [
        ("vgg", ERRORS),
        ("vgg-dvib", ERRORS | {"test_kl_nats"}),
        ("wrn-abn", ERRORS | MAPS),
        ("vgg-aib", ERRORS | MAPS | {"test_kl_nats"}),
    ],
)
def test_a_model_is_measured_by_what_it_has(digits_root: Path, tmp_path: Path, model: str, measured: set[str]) -> None:
    found = evaluate_model(exported(tmp_path / "export", model), digits_root, None, with_interpretability=False)
    assert (found["dataset"], found["num_images"]) == ("cluttered-digits", 30)
    assert set(found["metrics"]) == measured


def test_every_map_is_scored_and_a_model_without_one_is_refused(digits_root: Path, tmp_path: Path) -> None:
    found = evaluate_model(exported(tmp_path / "att", "vgg-att3"), digits_root, None, with_interpretability=True)
    further = {metrics.of_map(name, metric) for name in ("l1", "l2") for metric in metrics.INTERP_FURTHER}
    assert set(found["metrics"]) == {*ERRORS, *MAPS, *metrics.INTERPRETABILITY, *further}
    with pytest.raises(ConfigError, match="wrn has no spatial map to score; leave out --interpretability"):
        evaluate_model(exported(tmp_path / "wrn", "wrn"), digits_root, None, with_interpretability=True)


def trained(folder: Path, dataset: str, class_names: tuple[str, ...]) -> LoadedModel:
    """A tiny model of these classes, untrained, as one that was pulled."""
    config = tiny_trial(dataset=dataset, data__val_images=None, data__train_images=None, data__test_images=20)
    export_model(folder, build_model(config, len(class_names)).state_dict(), config, class_names, {}, {}, "a card")
    return load_exported(folder)


def test_a_cifar10_model_on_stl10_is_scored_on_both_splits_by_name(tmp_path: Path) -> None:
    model = trained(tmp_path / "model", "cifar10", CIFAR10)
    write_prepared(tmp_path, "stl10", 16, STL10, 4)
    found = evaluate_model(model, tmp_path, "stl10", False)
    assert (found["dataset"], found["num_images"]) == ("stl10", 40 + 20)
    assert set(found["metrics"]) == set(metrics.CROSS_DOMAIN)
    assert found["metrics"]["stl10_train_error_pct"] >= 10


def test_the_command_prints_them_with_interpretability(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path / "model", "cifar10", CIFAR10)
    write_prepared(tmp_path / "data", "stl10", 16, STL10, 4)
    write_prepared(tmp_path / "data", "cluttered-digits", 16, DIGITS, 4)  # it occludes
    arguments = ["evaluate", str(tmp_path / "model"), "--dataset", "stl10", "--interpretability"]
    with pytest.raises(SystemExit) as leaving:
        main([*arguments, "--root", str(tmp_path), "--json"])
    assert leaving.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert {*metrics.CROSS_DOMAIN, *metrics.INTERP_SUMMARY} <= set(found["metrics"])


def test_its_own_data_set_and_one_of_the_same_classes_are_scored_by_label(tmp_path: Path) -> None:
    model = trained(tmp_path / "model", "cifar10", CIFAR10)
    for name, class_names in (("cifar10", CIFAR10), ("again", CIFAR10), ("nameless", NUMBERED)):
        write_prepared(tmp_path, name, 16, class_names, 4)
        found = evaluate_model(model, tmp_path, name, False)["metrics"]
        assert "test_error_pct" in found
        assert not any("stl10" in metric or name in metric for metric in found)


@pytest.mark.parametrize(
    ("trained_on", "class_names"),
    [("svhn", DIGITS), ("own", ("a", "b", "c")), ("cifar100", tuple(map(str, range(100))))],
)
def test_a_model_of_other_classes_is_refused(trained_on: str, class_names: tuple[str, ...], tmp_path: Path) -> None:
    model = trained(tmp_path / "model", trained_on, class_names)
    write_prepared(tmp_path, "stl10", 16, STL10, 4)
    with pytest.raises(ConfigError, match=f"knows {len(class_names)} classes .* its own classes, such as {trained_on}"):
        evaluate_model(model, tmp_path, "stl10", False)


def test_stl10_that_is_not_prepared_says_how(tmp_path: Path) -> None:
    model = trained(tmp_path / "model", "cifar10", CIFAR10)
    with pytest.raises(DataError, match="aib data prepare stl10 --from PATH --image-size 16"):
        evaluate_model(model, tmp_path, "stl10", False)
