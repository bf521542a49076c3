"""Every shipped search can be read, resolved and planned on prepared data."""

import json
from pathlib import Path
from typing import Any

import pytest

import search_spaces
from orchestrator.cli.app import main
from orchestrator.planning.trials import check_trials, resolve_trial
from orchestrator.study.paths import data_root
from search_spaces.distributions import Choice, IntRange, PowerOfTen
from search_spaces.schema import SearchSpec, load_spec
from tests.support.images import write_prepared
from trainables.data.catalog import KNOWN_DATASETS, default_image_size

FOLDER = Path(search_spaces.__file__).parent
SHIPPED = sorted(FOLDER.rglob("*.yaml"))
DATA_SETS = ("cifar10", "cifar100", "svhn", "cub200")
AIB = [f"{backbone}-aib{quantised}" for backbone in ("vgg", "wrn") for quantised in ("", "-qt")]
AROUND_THE_PAPER = [(model, dataset) for model in AIB for dataset in DATA_SETS]
ALL_FIVE = {
    "bottleneck.beta",
    "bottleneck.latent_dim",
    "attention.num_anchors",
    "attention.lambda_q",
    "attention.lambda_c",
}

each_spec = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


def spec(stem: str) -> SearchSpec:
    return load_spec(shipped(stem))


def shipped(stem: str) -> Path:
    (path,) = FOLDER.rglob(f"{stem}.yaml")
    return path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root where every data set is prepared, with at least two images of each class and a batch of images."""
    root = tmp_path_factory.mktemp("root")
    for known in KNOWN_DATASETS.values():
        names = known.class_names or tuple(map(str, range(known.num_classes)))
        # cifar10_small asks for 3 500 images to train and select on, and 1 000 to test.
        num = 350 if known.name == "cifar10" else max(2, 200 // known.num_classes)
        for side in {default_image_size(known.name), 224 if known.name == "cub200" else 32}:
            write_prepared(data_root(root), known.name, side, names, num)
    write_prepared(data_root(root), "cluttered-digits", 16, KNOWN_DATASETS["svhn"].class_names or (), 600)
    return root


def plan(path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    with pytest.raises(SystemExit) as leaving:
        main(["plan", str(path), "--root", str(root), "--cluster", "2x32x8", "--json"])
    text = capsys.readouterr().out
    return int(leaving.value.code or 0), json.loads(text) if text else None


@each_spec
def test_a_shipped_search_is_called_as_its_file_and_its_first_points_are_trials(path: Path) -> None:
    found = load_spec(path)
    assert found.name == path.stem.replace("_", "-")
    check_trials(found)
    for point in found.first:
        assert set(point) == set(found.space)
        for key, value in point.items():
            assert found.space[key].contains(value)
            assert resolve_trial(found, point).get(key) == value


@each_spec
def test_a_shipped_search_plans_on_prepared_data(
    path: Path, prepared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    code, found = plan(path, prepared, capsys)
    assert code == 0
    assert found["study"] == load_spec(path).name
    assert found["slots"] >= 1
    assert {check["name"]: check["ok"] for check in found["checks"] if check["name"] in ("data", "cross-domain")} == {
        "data": True
    }


@pytest.mark.parametrize(("model", "dataset"), AROUND_THE_PAPER)
def test_each_aib_model_and_data_set_starts_at_the_papers_values(model: str, dataset: str) -> None:
    found = spec(f"{dataset}_{model.replace('-', '_')}")
    trial = resolve_trial(found, found.first[0])
    assert (trial.model.name, trial.data.name, trial.recipe, trial.epochs) == (model, dataset, "paper", 200)
    wide_at_32 = model.startswith("wrn") and dataset != "cub200"
    assert (trial.bottleneck.beta, trial.bottleneck.latent_dim) == (0.01, 512 if wide_at_32 else 256)
    if trial.quantized:
        assert set(found.space) == ALL_FIVE
        assert trial.attention.num_anchors == (50 if wide_at_32 else 20)
        assert (trial.attention.lambda_q, trial.attention.lambda_c) == (0.4, 0.1)
    else:
        assert not any(key.startswith("attention.") for key in found.space)
    assert found.registered_model == f"aib-{dataset}-{model[:3]}"


def test_a_data_set_that_is_not_prepared_is_told_with_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = plan(shipped("cifar100_wrn_aib"), tmp_path / "runs", capsys)
    data = next(check for check in found["checks"] if check["name"] == "data")
    assert (code, data["ok"]) == (0, False)
    assert "aib data prepare cifar100 --from PATH" in data["message"]
    with pytest.raises(SystemExit) as leaving:
        main(["search", str(shipped("demo")), "--set", "dataset=cifar100", "--root", str(tmp_path / "runs")])
    assert leaving.value.code == 3
    assert "aib data prepare cifar100 --from PATH" in capsys.readouterr().err


def test_the_ablations_are_the_grids_of_figure_4() -> None:
    beta, latent, anchors = (spec(f"ablation_{name}") for name in ("beta", "latent_dim", "anchors"))
    assert beta.space == {"bottleneck.beta": PowerOfTen(power_of_ten=(0, 1, 2, 3, 4))}
    assert beta.space["bottleneck.beta"].grid() == (1, 0.1, 0.01, 0.001, 0.0001)
    assert latent.space == {"bottleneck.latent_dim": Choice(choice=(64, 128, 256, 512, 1024))}
    assert anchors.space["attention.num_anchors"].grid() == (10, 20, 30, 40, 50, 60)
    for ablation in (beta, latent, anchors):
        assert (ablation.sampler.name, ablation.scheduler.name) == ("grid", "none")
        trial = resolve_trial(ablation, {})
        assert (trial.model.name, trial.data.name, trial.recipe) == ("vgg-aib-qt", "cifar10", "paper")


def test_the_joint_search_varies_all_five_over_ranges() -> None:
    joint = spec("joint_five")
    assert set(joint.space) == ALL_FIVE
    assert all(isinstance(varied, IntRange) or varied.size is None for varied in joint.space.values())
    assert joint.first[0] == spec("cifar10_vgg_aib_qt").first[0]


def test_the_two_objective_search_trades_error_against_live_interpretability() -> None:
    found = spec("two_objectives")
    assert [(o.metric, o.goal) for o in found.objectives] == [
        ("val_error_pct", "minimize"),
        ("interp_centered_pct", "maximize"),
    ]
    assert [(c.metric, c.at_least) for c in found.constraints] == [("val_attention_std", 0.02)]
    trial = resolve_trial(found, {})
    assert trial.epochs % trial.evaluation.interp_every_epochs == 0, "the last epoch's maps must be scored"
