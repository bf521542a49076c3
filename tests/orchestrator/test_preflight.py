"""What `aib plan` and the start of a search say of the data."""

from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.preflight import check_data, checks
from orchestrator.study_paths import study_paths
from search_spaces.schema import SearchSpec
from tests.trainables.data.images import write_prepared
from trainables.data.catalog import KNOWN
from trainables.errors import DataError

CIFAR10, STL10 = (KNOWN[name].class_names or () for name in ("cifar10", "stl10"))


def spec(dataset: str = "cifar10") -> SearchSpec:
    trial = {"dataset": dataset, "data.image_size": 16, "model.width": 0.0625}
    occluders = {"evaluation.occluder_dataset": "cluttered-digits"}
    return SearchSpec.from_dict({"name": "s", "trial": {**trial, **occluders}, "space": {}, "trials": 1})


def told(root: Path, dataset: str = "cifar10") -> dict[str, tuple[bool, str]]:
    return {name: (ok, message) for name, ok, message in checks(spec(dataset), study_paths(root, "s"))}


def test_cross_domain_figures_that_will_be_missing_are_a_note(tmp_path: Path) -> None:
    data = study_paths(tmp_path, "s").data
    write_prepared(data, "cifar10", 16, CIFAR10, 4)
    found = told(tmp_path)
    assert found["data"][0]
    ok, message = found["cross-domain"]
    assert not ok
    for word in ("stl10_train_error_pct", "stl10_test_error_pct", "aib data prepare stl10 --from PATH --image-size 16"):
        assert word in message
    assert check_data(spec(), data, Console(quiet=True)).store.name == "cifar10"
    write_prepared(data, "stl10", 16, STL10, 4)
    assert "cross-domain" not in told(tmp_path)


def test_only_cifar10_trials_hear_of_stl10(tmp_path: Path) -> None:
    write_prepared(study_paths(tmp_path, "s").data, "svhn", 16, KNOWN["svhn"].class_names or (), 4)
    assert "cross-domain" not in told(tmp_path, "svhn")


def test_damaged_stl10_is_found_before_the_search_not_after_it(tmp_path: Path) -> None:
    data = study_paths(tmp_path, "s").data
    write_prepared(data, "cifar10", 16, CIFAR10, 4)
    write_prepared(data, "stl10", 16, STL10, 4)
    (arrow,) = (data / "stl10-16").glob("test-*.arrow")
    content = bytearray(arrow.read_bytes())
    content[len(content) // 2] ^= 1
    arrow.write_bytes(content)
    with pytest.raises(DataError, match="stl10"):
        check_data(spec(), data, Console(quiet=True))
