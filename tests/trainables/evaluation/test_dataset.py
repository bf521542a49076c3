"""`aib evaluate`: models with one map, several or none, on their own data set and on others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.app import main
from orchestrator.study.paths import study_paths
from orchestrator.study.study import Study, open_study
from search_spaces.schema import SearchSpec
from tests.support.images import write_prepared
from tests.support.tiny_trial import tiny_trial
from trainables import metrics
from trainables.data.catalog import KNOWN_DATASETS
from trainables.errors import ConfigError, DataError
from trainables.evaluation.dataset import evaluate_model
from trainables.export import LoadedModel, export_model, load_exported
from trainables.models.build import build_model
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

CIFAR10, STL10, DIGITS = (KNOWN_DATASETS[name].class_names or () for name in ("cifar10", "stl10", "svhn"))
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
    """A tiny untrained model of these classes, exported like a pulled one."""
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


Evaluate = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def root(digits_root: Path, tmp_path: Path) -> Path:
    (tmp_path / "data").symlink_to(digits_root)
    return tmp_path


@pytest.fixture
def evaluated(root: Path, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Exit code, the object of --json, stderr."""

    def run(model: str) -> tuple[int, dict[str, Any], str]:
        with pytest.raises(SystemExit) as leaving:
            main(["evaluate", model, "--root", str(root), "--json"])
        said = capsys.readouterr()
        return int(leaving.value.code or 0), json.loads(said.out or "{}"), said.err

    return run


def train(study: Study, trial: str, kind: str, **changes: Any) -> dict[str, float]:
    """Runs one trial as a search or `aib train` does; returns the report of its last epoch."""
    params = {key.replace("__", "."): value for key, value in changes.items()}
    study.journal.append("trial", trial=trial, kind=kind, params=params, seed=0, of=None)
    metrics: dict[str, float] = {}
    for report in fit(tiny_trial(epochs=2, **changes), Runtime(data_root=study.paths.data)):
        study.storage.of(trial).save(report.epoch, report.save)
        metrics = report.metrics
        study.journal.append("epoch", trial=trial, metrics=metrics)
    study.journal.append("ended", trial=trial, state="completed", reason="")
    return metrics


def test_a_trained_study_is_evaluated_by_its_name(root: Path, evaluated: Evaluate) -> None:
    given = {"name": "one-train", "trial": tiny_trial(epochs=2).to_dict(), "space": {}, "trials": 1}
    with open_study(SearchSpec.from_dict(given), study_paths(root, "one-train"), False, {}) as study:
        code, _, said = evaluated("one-train")
        assert (code, "aib trials one-train" in said) == (2, True), said
        recorded = train(study, "train", "train")
    code, found, said = evaluated("one-train")
    assert code == 0, said
    assert (found["model"], found["study"], found["trial"]) == ("one-train", "one-train", "train")
    assert (found["dataset"], found["num_images"]) == ("cluttered-digits", 50)
    assert found["metrics"]["test_error_pct"] == recorded["final_test_error_pct"]
    assert not list(study.paths.folder.glob("*export*")), "nothing is left in the study"


def test_a_study_is_evaluated_by_its_best_trial_until_its_champion_is_exported(
    root: Path, evaluated: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"optim.lr": {"choice": [0.02, 0.000001]}}
    fixed = {key: value for key, value in tiny_trial(epochs=2).to_dict().items() if key not in space}
    given = {"name": "two", "trial": fixed, "space": space, "trials": 2}
    with open_study(SearchSpec.from_dict(given), study_paths(root, "two"), False, {}) as study:
        recorded = {
            "t00000": train(study, "t00000", "search", optim__lr=0.02),
            "t00001": train(study, "t00001", "search", optim__lr=0.000001),
        }
    with pytest.raises(SystemExit):
        main(["best", "two", "--root", str(root), "--json"])
    best = json.loads(capsys.readouterr().out)["best"]["trial"]
    _, found, said = evaluated("two")
    assert (found["study"], found["trial"]) == ("two", best), said
    assert recorded["t00000"]["final_test_nll"] != recorded["t00001"]["final_test_nll"]
    assert found["metrics"]["test_nll"] == recorded[best]["final_test_nll"]

    config, facts = tiny_trial(), {"study": "two", "trial_id": "f00001-seed1"}
    weights = build_model(config, 10).state_dict()
    export_model(study.paths.folder / "export", weights, config, DIGITS, {}, facts, "# card")
    assert evaluated("two")[1]["trial"] == "f00001-seed1"
    with pytest.raises(SystemExit):
        main(["evaluate", "two", "--root", str(root)])
    assert "two (trial f00001-seed1 of study two) on cluttered-digits" in capsys.readouterr().out


def test_a_best_trial_without_its_checkpoint_is_named(root: Path, evaluated: Evaluate) -> None:
    given = {"name": "gone", "trial": tiny_trial(epochs=2).to_dict(), "space": {}, "trials": 1}
    with open_study(SearchSpec.from_dict(given), study_paths(root, "gone"), False, {}) as study:
        train(study, "train", "train")
    for entry in study.storage.of("train").listed():
        study.storage.of("train").remove(entry.name)
    code, _, said = evaluated("gone")
    assert (code, "trial train of the study 'gone' has no complete checkpoint" in said) == (1, True), said
