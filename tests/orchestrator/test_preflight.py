"""The images that occlude are asked for where maps are scored, and only there."""

from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.preflight import OCCLUDERS, check_data, checks, with_occluders
from orchestrator.study_paths import StudyPaths
from search_spaces.schema import SearchSpec
from trainables.errors import DataError

SMALL = {"data.image_size": 16, "data.train_images": 40, "data.val_images": 20, "data.test_images": 20, "epochs": 1}


def spec(model: str, **trial: object) -> SearchSpec:
    given = {"model": model, "dataset": "cluttered-digits", **SMALL, **trial}
    return SearchSpec.from_dict({"name": "s", "trial": given, "space": {}, "trials": 1})


def quiet() -> Console:
    return Console(quiet=True)


def test_a_model_without_maps_needs_no_occluders(digits_root: Path, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "s")
    assert with_occluders(spec("vgg"), paths, quiet()) == spec("vgg")
    assert with_occluders(spec("vgg-gap"), paths, quiet()).trial[OCCLUDERS] == "cluttered-digits"
    elsewhere = {OCCLUDERS: "svhn"}
    assert check_data(spec("vgg", **elsewhere), digits_root, quiet()).store.name == "cluttered-digits"
    with pytest.raises(DataError, match="'svhn', whose images occlude"):
        check_data(spec("vgg-gap", **elsewhere), digits_root, quiet())


def test_the_plan_speaks_of_occluders_where_maps_are_scored(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "s")
    assert [name for name, _, _ in checks(spec("vgg"), paths)] == ["data"]
    assert [name for name, _, _ in checks(spec("wrn-abn"), paths)] == ["data", "occluders"]
