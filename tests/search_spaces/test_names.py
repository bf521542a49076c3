import pytest

from search_spaces.names import check_name


@pytest.mark.parametrize("name", ["a", "cifar10-vgg_aib.qt", "A" * 64, "...", ".hidden", "console"])
def test_plain_names_are_allowed(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../x",
        "/etc",
        "a/b",
        "a\\b",
        "a\0",
        "a\n",
        "A" * 65,
        "A" * 300,
        "é",
        "ａ",
        "a b",
        "CON",
        "nul.txt",
    ],
)
def test_names_that_mean_something_to_a_file_system_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^is '"):
        check_name(name)
