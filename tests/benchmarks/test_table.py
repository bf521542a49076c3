"""The documentation quotes the recorded figures."""

import re
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.support.measure import RESULTS, to_dict
from benchmarks.table import README, ROWS, SHORT, fill, recorded, render, render_short
from tests.benchmarks.support.test_measure import figure

NAMES = [row.name for row in ROWS]


def test_the_pages_quote_the_recorded_figures() -> None:
    assert table.main(["--check"]) == 0, "run: python -m benchmarks.table"


def test_a_recorded_figure_appears_in_its_row() -> None:
    made = to_dict(figure()._replace(name="input_pipeline"), quick=False)
    filled = fill(README.read_text(encoding="utf-8"), render({"input_pipeline": made}))
    (row,) = [line for line in filled.splitlines() if line.startswith("| `input_pipeline`")]
    assert "| 1 s (this) | 3 (that) | 0.333 (ours / other) | ≥ 20 |" in row
    assert fill(filled, render(recorded())) == README.read_text(encoding="utf-8")
    short = fill(SHORT.read_text(encoding="utf-8"), render_short({"input_pipeline": made}))
    assert "| `systems.input_pipeline` | 1 s | 3 | 0.333 (ours / other) | ≥ 20 |" in short
    assert [line for line in short.splitlines() if line.startswith("| `systems.trial_overhead")] == []
    assert fill(short, render_short(recorded())) == SHORT.read_text(encoding="utf-8")


def test_every_recorded_figure_has_a_row_and_was_measured_in_full() -> None:
    for name, found in recorded().items():
        assert name in NAMES
        assert found["name"] == name
        assert found["quick"] is False


def test_the_readme_says_whether_gpu_figures_have_been_taken() -> None:
    taken = [path for path in RESULTS.glob("*.json") if re.match("reproduce_|beta_grid_|table2_|gpu_step", path.stem)]
    assert ("No GPU figure has been taken yet" in README.read_text(encoding="utf-8")) == (not taken)


def test_what_is_no_comparison_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "reproduce_cifar10_vgg_aib.json").write_text('{"name": "reproduce_cifar10_vgg_aib"}', encoding="utf-8")
    assert recorded(tmp_path) == {}


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_every_row_has_its_script_and_its_description(row: table.Row) -> None:
    script = row.command.split()[0]
    assert (Path(table.__file__).parent / f"{script.replace('.', '/')}.py").exists()
    assert re.search(rf"^\*\*`{script.split('.')[-1]}`\*\*", README.read_text(encoding="utf-8"), re.MULTILINE)
