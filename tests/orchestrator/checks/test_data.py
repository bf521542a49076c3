"""Data and pretrained weights, checked before anything starts."""

from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.checks.data import OCCLUDERS, check_data, checks, with_occluders
from orchestrator.planning.trials import check_trials
from orchestrator.study.paths import study_paths
from search_spaces.schema import SearchSpec
from tests.support.images import write_prepared
from trainables.data.catalog import KNOWN_DATASETS
from trainables.errors import ConfigError, DataError
from trainables.models import pretrained

QUIET = Console(quiet=True)
CIFAR10, STL10, DIGITS = (KNOWN_DATASETS[name].class_names or () for name in ("cifar10", "stl10", "svhn"))


def spec(**trial: object) -> SearchSpec:
    small = {
        "dataset": "cluttered-digits",
        "data.image_size": 16,
        "evaluation.occluder_dataset": "cluttered-digits",
        "data.train_images": 90,
        "optim.batch_size": 8,
    }
    return SearchSpec.from_dict({"name": "s", "trial": {**small, **trial}, "space": {}, "trials": 1})


def labelled(dataset: str = "cifar10") -> SearchSpec:
    """A trial on a small data set with class names."""
    return spec(dataset=dataset, **{"data.train_images": None, "model.width": 0.0625})


def told(root: Path, dataset: str = "cifar10") -> dict[str, tuple[bool, str]]:
    return {name: (ok, message) for name, ok, message in checks(labelled(dataset), study_paths(root, "s"))}


def test_cross_domain_figures_that_will_be_missing_are_a_note(tmp_path: Path) -> None:
    data = study_paths(tmp_path, "s").data
    write_prepared(data, "cifar10", 16, CIFAR10, 4)
    found = told(tmp_path)
    assert found["data"][0]
    ok, message = found["cross-domain"]
    assert not ok
    for word in ("stl10_train_error_pct", "stl10_test_error_pct", "aib data prepare stl10 --from PATH --image-size 16"):
        assert word in message
    assert check_data(labelled(), data, QUIET).name == "cifar10"
    write_prepared(data, "stl10", 16, STL10, 4)
    assert "cross-domain" not in told(tmp_path)


def test_only_cifar10_trials_hear_of_stl10(tmp_path: Path) -> None:
    write_prepared(study_paths(tmp_path, "s").data, "svhn", 16, KNOWN_DATASETS["svhn"].class_names or (), 4)
    assert "cross-domain" not in told(tmp_path, "svhn")


@pytest.mark.parametrize("varied", [{"choice": [10, None, 9999]}, {"int": [10, 9999]}])
def test_every_number_of_training_images_that_the_search_may_draw_must_be_there(tmp_path: Path, varied: dict) -> None:
    paths = study_paths(tmp_path, "s")
    write_prepared(paths.data, "cifar10", 16, CIFAR10, 4)
    trial = {
        "dataset": "cifar10",
        "data.image_size": 16,
        OCCLUDERS: "cifar10",
        "model.width": 0.0625,
        "optim.batch_size": 8,
    }
    given = {"name": "s", "trial": trial, "space": {"data.train_images": varied}, "trials": 2}
    wanting = SearchSpec.from_dict(given)
    refused = r"space 'data\.train_images': .* is 9999; allowed for this data set: 1 to 36\."
    with pytest.raises(ConfigError, match=refused):
        checks(wanting, paths)
    with pytest.raises(ConfigError, match=refused):
        check_data(wanting, paths.data, QUIET)
    fitting = SearchSpec.from_dict({**given, "space": {"data.train_images": {"choice": [10, None, 36]}}})
    assert checks(fitting, paths)[0][1]
    assert check_data(fitting, paths.data, QUIET).num_train == 36


def test_an_occluding_data_set_in_the_space_is_refused_for_what_it_is(digits_root: Path, tmp_path: Path) -> None:
    given = {"dataset": "cluttered-digits", "data.image_size": 16}
    varied = {OCCLUDERS: {"choice": ["svhn", "cluttered-digits"]}}
    asked = SearchSpec.from_dict({"name": "s", "trial": given, "space": varied, "trials": 2})
    found = with_occluders(asked, study_paths(tmp_path, "s"), QUIET)
    with pytest.raises(ConfigError, match=r"space: 'evaluation\.occluder_dataset' cannot vary, since .* same images"):
        check_trials(found)


def test_damaged_stl10_is_found_before_the_search_not_after_it(tmp_path: Path) -> None:
    data = study_paths(tmp_path, "s").data
    write_prepared(data, "cifar10", 16, CIFAR10, 4)
    write_prepared(data, "stl10", 16, STL10, 4)
    (arrow,) = (data / "stl10-16").glob("test-*.arrow")
    content = bytearray(arrow.read_bytes())
    content[len(content) // 2] ^= 1
    arrow.write_bytes(content)
    with pytest.raises(DataError, match="stl10"):
        check_data(labelled(), data, QUIET)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of VGG-16's weights on a machine that lacks them and has no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(pretrained, "_url", lambda _model: "http://127.0.0.1:9/")
    return tmp_path / "torch" / "hub" / "checkpoints" / "vgg16-397923af.pth"


def test_missing_imagenet_weights_are_refused_before_the_data_is_touched(offline: Path, tmp_path: Path) -> None:
    wanting = spec(model="vgg-aib", **{"model.backbone": "vgg-16"})
    with pytest.raises(
        DataError, match=rf"are not at {offline}, .* set model\.pretrained to none to train from scratch"
    ):
        check_data(wanting, tmp_path / "data", QUIET)
    assert not (tmp_path / "data").exists()


def test_from_scratch_nothing_is_asked_for(offline: Path, digits_root: Path) -> None:
    scratch = spec(model="vgg-aib", **{"model.backbone": "vgg-16", "model.pretrained": "none", "model.width": 0.0625})
    assert check_data(scratch, digits_root, QUIET).num_train == 90
    assert not offline.parent.exists()


def test_a_plan_tells_where_the_weights_are_looked_for(offline: Path, tmp_path: Path) -> None:
    paths = study_paths(tmp_path / "runs", "s")
    wanting = spec(model="vgg-aib", **{"model.backbone": "vgg-16"})
    (found,) = [check for check in checks(wanting, paths) if check[0] == "weights"]
    assert found[1] is False
    assert str(offline) in found[2]
    offline.parent.mkdir(parents=True)
    offline.touch()
    (found,) = [check for check in checks(wanting, paths) if check[0] == "weights"]
    assert found[1] is True
    assert not [check for check in checks(spec(), paths) if check[0] == "weights"]


def test_images_are_wanted_at_their_stored_size(tmp_path: Path) -> None:
    birds = spec(dataset="cub200", **{"model.pretrained": "none", "data.image_size": 56})
    with pytest.raises(DataError, match=r"'cub200' is not prepared at image size 64 .*--image-size 64"):
        check_data(birds, tmp_path, QUIET)
    found = dict((name, message) for name, _, message in checks(birds, study_paths(tmp_path, "s")))
    assert "aib data prepare cub200 --from PATH --image-size 64" in found["data"]


def test_a_backbone_of_another_family_is_refused(digits_root: Path) -> None:
    with pytest.raises(ConfigError, match=r"'model\.backbone' is 'wrn-50-2'; allowed for vgg-aib"):
        check_data(spec(model="vgg-aib", **{"model.backbone": "wrn-50-2"}), digits_root, QUIET)


def unsaid(model: str, **trial: object) -> SearchSpec:
    """A trial without an occluding data set, unless `fields` name one."""
    given = {
        "model": model,
        "dataset": "cluttered-digits",
        "data.image_size": 16,
        "data.train_images": 40,
        "optim.batch_size": 8,
        **trial,
    }
    return SearchSpec.from_dict({"name": "s", "trial": given, "space": {}, "trials": 1})


def test_a_model_without_maps_needs_no_occluders(digits_root: Path, tmp_path: Path) -> None:
    paths = study_paths(tmp_path, "s")
    assert with_occluders(unsaid("vgg"), paths, QUIET) == unsaid("vgg")
    assert with_occluders(unsaid("vgg-gap"), paths, QUIET).trial[OCCLUDERS] == "cluttered-digits"
    elsewhere = {OCCLUDERS: "svhn"}
    assert check_data(unsaid("vgg", **elsewhere), digits_root, QUIET).name == "cluttered-digits"
    with pytest.raises(DataError, match="'svhn', whose images occlude"):
        check_data(unsaid("vgg-gap", **elsewhere), digits_root, QUIET)


def test_the_plan_speaks_of_occluders_where_maps_are_scored(tmp_path: Path) -> None:
    paths = study_paths(tmp_path, "s")
    assert [name for name, _, _ in checks(unsaid("vgg"), paths)] == ["data"]
    assert [name for name, _, _ in checks(unsaid("wrn-abn"), paths)] == ["data", "occluders"]


def test_the_plan_notes_occluders_that_nobody_asked_for(tmp_path: Path) -> None:
    paths = study_paths(tmp_path, "s")

    def occluding(asked: SearchSpec) -> tuple[bool, str]:
        return next((ok, message) for name, ok, message in checks(asked, paths) if name == "occluders")

    ok, message = occluding(unsaid("vgg-aib"))
    assert not ok
    for word in ("cluttered-digits", "svhn", "aib data prepare svhn --from PATH", OCCLUDERS):
        assert word in message
    assert occluding(unsaid("vgg-aib", **{OCCLUDERS: "cluttered-digits"}))[0], "the spec says so"
    write_prepared(paths.data, "svhn", 32, DIGITS, 4)
    assert occluding(unsaid("vgg-aib")) == (True, f"images of svhn, as {OCCLUDERS} says")


def test_one_class_is_refused_by_plan_and_search(tmp_path: Path) -> None:
    paths = study_paths(tmp_path, "s")
    write_prepared(paths.data, "alike", 16, ("cat",), 30)
    wanting = spec(dataset="alike", **{"data.train_images": None})
    for refusing in (lambda: checks(wanting, paths), lambda: check_data(wanting, paths.data, QUIET)):
        with pytest.raises(DataError, match="all 27 training images of data set 'alike' are of one class, 'cat'"):
            refusing()


@pytest.mark.parametrize(
    ("trial", "space", "size", "num"),
    [
        ({"optim.batch_size": 37}, {}, 37, 36),
        ({}, {"optim.batch_size": {"choice": [8, 64, 16]}}, 64, 36),
        ({"optim.batch_size": 32}, {"data.train_images": {"int": [31, 36]}}, 32, 31),
        ({}, {"data.train_images": {"choice": [20, None]}, "optim.batch_size": {"int": [8, 21]}}, 21, 20),
    ],
)
def test_a_batch_that_training_images_do_not_fill_is_refused(
    tmp_path: Path, trial: dict, space: dict, size: int, num: int
) -> None:
    paths = study_paths(tmp_path, "s")
    write_prepared(paths.data, "cifar10", 16, CIFAR10, 4)
    given = {"dataset": "cifar10", "data.image_size": 16, OCCLUDERS: "cifar10", "model.width": 0.0625, **trial}
    wanting = SearchSpec.from_dict({"name": "s", "trial": given, "space": space, "trials": 2 if space else 1})
    refused = (
        rf"'optim\.batch_size' is {size}, but only {num} images of 'cifar10' are for training; allowed: 2 to {num}\."
    )
    with pytest.raises(ConfigError, match=refused):
        checks(wanting, paths)
    with pytest.raises(ConfigError, match=refused):
        check_data(wanting, paths.data, QUIET)
    # A study that another version started goes on.
    assert check_data(wanting, paths.data, QUIET, started=True).num_train == 36
    paths.folder.mkdir(parents=True)
    paths.study_json.touch()
    assert checks(wanting, paths)[0][1]


def test_a_batch_of_all_training_images_is_allowed(tmp_path: Path) -> None:
    paths = study_paths(tmp_path, "s")
    write_prepared(paths.data, "cifar10", 16, CIFAR10, 4)
    fitting = labelled().__class__.from_dict(
        {**labelled().to_dict(), "trial": {**labelled().trial, "optim.batch_size": 36, OCCLUDERS: "cifar10"}}
    )
    assert check_data(fitting, paths.data, QUIET).num_train == 36
