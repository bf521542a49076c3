"""Each distribution: what it contains, lists and refuses, and how it is stored."""

import re

import pytest

from search_spaces.distributions import Choice, FloatRange, IntRange, PowerOfTen, distribution


@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        ({"power_of_ten": [0, 1, 4]}, [1, 0.1, 1e-4], [0.01, 0, -1, True, "0.1"]),
        ({"choice": [64, 128]}, [64, 128.0], [65, "64", True]),
        ({"choice": [1, "a", None]}, [1, 1.0, "a", None], [True, "b", 0]),
        ({"choice": [True, False]}, [True, False], [1, 0]),
        ({"int": [2, 10], "step": 4}, [2, 6, 10, 6.0], [3, 14, -2, 6.5, True, float("nan"), 10**400]),
        ({"int": [2, 100], "log": True}, [2, 33, 100], [1, 101]),
        ({"float": [0.05, 1], "log": True}, [0.05, 1, 1.0, 0.3], [0.049, 1.01, True, "0.3", float("nan")]),
    ],
)
def test_contains_exactly_what_may_be_drawn(given: dict, inside: list, outside: list) -> None:
    varied = distribution(given)
    assert [value for value in inside if not varied.contains(value)] == []
    assert [value for value in outside if varied.contains(value)] == []


@pytest.mark.parametrize(
    ("given", "grid"),
    [
        ({"power_of_ten": [0, 1, 2, 3, 4]}, (1.0, 0.1, 0.01, 0.001, 0.0001)),
        ({"choice": ["a", 2]}, ("a", 2)),
        ({"int": [10, 60], "step": 10}, (10, 20, 30, 40, 50, 60)),
        ({"int": [2, 4], "log": True}, (2, 3, 4)),
        ({"float": [0, 1]}, None),
    ],
)
def test_grid_lists_every_value_once(given: dict, grid: tuple | None) -> None:
    varied = distribution(given)
    assert varied.grid() == grid
    assert varied.size == (None if grid is None else len(grid))


@pytest.mark.parametrize("p", range(-30, 31))
def test_power_of_ten_gives_the_nearest_float_and_finds_its_exponent_again(p: int) -> None:
    varied = PowerOfTen((p,))
    assert varied.value(p) == float(f"1e{-p}")
    assert varied.exponent(varied.value(p)) == p


def test_canonical_gives_the_value_as_it_would_be_drawn() -> None:
    drawn = [
        PowerOfTen((2,)).canonical(0.010000000000000002),
        Choice((64,)).canonical(64.0),
        IntRange(2, 10).canonical(6.0),
        FloatRange(0, 1).canonical(1),
    ]
    assert list(map(repr, drawn)) == ["0.01", "64", "6", "1.0"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (3, "allowed: {power_of_ten"),
        ([1, 2], "allowed: {power_of_ten"),
        ({}, "allowed: {power_of_ten"),
        ({"int": [1, 2], "float": [1, 2]}, "several kinds"),
        ({"choice": []}, "0 values"),
        ({"choice": "ab"}, "allowed: a list"),
        ({"choice": [1, 1.0]}, "twice"),
        ({"choice": [[1]]}, "allowed: text"),
        ({"choice": [1], "log": True}, "unknown option 'log'"),
        ({"choice": list(range(1001))}, "1001 values"),
        ({"power_of_ten": [0.5]}, "whole numbers"),
        ({"power_of_ten": [True]}, "whole numbers"),
        ({"power_of_ten": [400]}, "whole numbers"),
        ({"int": [5, 5]}, "below the second"),
        ({"int": [9, 5]}, "below the second"),
        ({"int": [1.0, 5]}, "whole numbers"),
        ({"int": [1, 10**17]}, "whole numbers"),
        ({"int": [0, 5], "log": True}, "above 0"),
        ({"int": [1, 9], "log": True, "step": 2}, "do not go together"),
        ({"int": [1, 9], "step": 0}, "step is 0"),
        ({"int": [10, 60], "step": 15}, "end at 55"),
        ({"int": [1, 2, 3]}, "[low, high]"),
        ({"int": [1, 9], "log": "yes"}, "true | false"),
        ({"float": [0, 1], "log": True}, "above 0"),
        ({"float": [1, "x"]}, "finite numbers"),
        ({"float": [0, float("inf")]}, "finite numbers"),
        ({"float": [0, 1], "stepp": 1}, "unknown option 'stepp'"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(given: object, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        distribution(given)


@pytest.mark.parametrize(
    "given",
    [
        {"power_of_ten": [0, 2]},
        {"choice": [1, "a", None, True, 0.5]},
        {"int": [2, 100], "log": True},
        {"int": [10, 60], "step": 10},
        {"int": [1, 2]},
        {"float": [0.05, 1.0], "log": True},
        {"float": [0.0, 1.0]},
    ],
)
def test_the_stored_form_reads_back_as_an_equal_value(given: dict) -> None:
    assert distribution(given).to_dict() == given
    assert distribution(distribution(given).to_dict()) == distribution(given)
    assert distribution(given).describe()
