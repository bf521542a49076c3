import re

import pytest

from tests.support.repository import ROOT
from trainables.data.catalog import KNOWN_DATASETS, default_image_size, known_dataset, prepare_command
from trainables.errors import ConfigError


def test_catalog_holds_the_contract_data_sets_with_consistent_classes() -> None:
    assert set(KNOWN_DATASETS) == {"cluttered-digits", "cifar10", "cifar100", "svhn", "stl10", "cub200"}
    assert all(len(entry.class_names) == entry.num_classes for entry in KNOWN_DATASETS.values() if entry.class_names)


def test_unknown_name_names_the_nearest_and_all_known() -> None:
    with pytest.raises(ConfigError, match=r"'cifar01'.*did you mean 'cifar10'.*known: cluttered-digits, .*cub200"):
        known_dataset("cifar01")


@pytest.mark.parametrize(
    ("name", "size", "command"),
    [
        ("cifar10", 32, "aib data prepare cifar10 --from PATH"),
        ("cifar10", 16, "aib data prepare cifar10 --from PATH --image-size 16"),
        ("cluttered-digits", 32, "aib data prepare cluttered-digits"),
        ("cub200", 256, "aib data prepare cub200 --from PATH"),
    ],
)
def test_prepare_command_is_ready_to_paste(name: str, size: int, command: str) -> None:
    assert prepare_command(name, size) == command


def test_default_image_size_of_own_data_is_32() -> None:
    assert (default_image_size("cub200"), default_image_size("mine")) == (256, 32)


def test_documentation_names_every_data_set_and_its_files() -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    for entry in KNOWN_DATASETS.values():
        rows = [line for line in text.splitlines() if line.startswith(f"| `{entry.name}`")]
        assert rows, entry.name
        for file in re.findall(r"[\w-]+\.(?:tar\.gz|tgz|mat)", entry.official or ""):
            assert any(f"`{file}`" in row for row in rows), file
