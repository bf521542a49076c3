"""docs/faults.md: every fault names a test, and every test that it names exists."""

import re
from pathlib import Path

import pytest

from tests.support.repository import ROOT

NAMED = sorted(
    set(re.findall(r"`((?:[a-z_]+/)*test_[a-z0-9_]+\.py)::(test_[a-z0-9_]+)`", (ROOT / "docs/faults.md").read_text()))
)


def found(file: str) -> list[Path]:
    return [path for path in (ROOT / "tests").rglob(Path(file).name) if path.as_posix().endswith(f"/{file}")]


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_proof_that_the_page_names_is_a_test(file: str, test: str) -> None:
    (path,) = found(file)
    assert f"\ndef {test}(" in path.read_text(encoding="utf-8")


def test_the_page_names_a_proof_in_every_row() -> None:
    rows = [line for line in (ROOT / "docs/faults.md").read_text().splitlines() if line.startswith("| ")]
    bare = [row for row in rows if "::test_" not in row and not row.startswith(("| Fault |", "| Input |"))]
    assert bare == []
    assert len(NAMED) > 40
