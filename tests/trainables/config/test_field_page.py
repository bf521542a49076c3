"""`docs/trial-fields.md` lists every field of a trial with the range and defaults of the code."""

import json
import typing
from typing import Any

import pytest

from tests.support.repository import ROOT
from trainables.config.ranges import RANGES
from trainables.config.trial import FIELD_TYPES, TrialConfig


def rows() -> dict[str, list[str]]:
    lines = (ROOT / "docs/trial-fields.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in cells}


def shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def allowed(key: str) -> str:
    kind = FIELD_TYPES[key]
    if key in RANGES:
        return RANGES[key][1]
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(map(str, typing.get_args(kind)))
    others = {bool: "true, false", str: "a name", float: "a number"}
    return others.get(kind, "a list")


def test_the_page_has_every_field_in_the_codes_order() -> None:
    assert list(rows()) == list(FIELD_TYPES)


@pytest.mark.parametrize("key", FIELD_TYPES)
def test_range_and_defaults_are_the_codes(key: str) -> None:
    paper, released = (
        shown(TrialConfig.from_dict({"model": "vgg-aib-qt", "dataset": "cifar10", "recipe": name}).to_dict()[key])
        for name in ("paper", "released")
    )
    range_, default, meaning = rows()[key]
    assert range_ == allowed(key)
    assert default == (paper if paper == released else f"{paper} / {released}")
    assert meaning
