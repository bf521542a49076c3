"""Fills the tables of `benchmarks/README.md` and `docs/performance.md` from the recorded results.

`python -m benchmarks.table` rewrites both tables; `--check` only says whether they are up to date.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.support.measure import RESULTS

README = Path(__file__).with_name("README.md")
"""Has every figure with a description."""
SHORT = README.parents[1] / "docs" / "performance.md"
"""Has the recorded figures alone."""
BEGIN, END = "<!-- results -->", "<!-- /results -->"


class Row(NamedTuple):
    name: str
    goal: str
    """The goal for the ratio; empty where there is none."""
    command: str


ROWS = (
    Row("trial_overhead_1_worker", "≤ 1/40", "systems.trial_overhead --workers 1"),
    Row("trial_overhead_2_workers", "≤ 1/40", "systems.trial_overhead --workers 2"),
    Row("input_pipeline", "≥ 20", "systems.input_pipeline"),
    Row("framework_overhead", "≤ 1.02", "systems.framework_overhead"),
    Row("evaluation", "≥ 12", "systems.evaluation"),
    Row("tracking_results_per_s", "≥ 50", "systems.tracking"),
    Row("orchestrator_scale", "≤ 1.2", "systems.orchestrator_scale"),
    Row("search_efficiency", "≤ 0.2", "systems.search_efficiency"),
    Row("chaos", "", "systems.chaos"),
    Row("recovery", "", "systems.recovery"),
    Row("gpu_step", "≥ 5", "systems.gpu_step"),
    Row("gpu_step_wrn_aib_qt", "", "systems.gpu_step --models wrn-aib-qt"),
    Row("ddp_scaling", "", "systems.ddp_scaling"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a table is not up to date")
    chosen = parser.parse_args(arguments)
    figures, stale = recorded(), False
    for page, body in ((README, render(figures)), (SHORT, render_short(figures))):
        text = page.read_text(encoding="utf-8")
        filled = fill(text, body)
        stale |= filled != text
        if not chosen.check:
            page.write_text(filled, encoding="utf-8")
    return int(chosen.check and stale)


def recorded(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Every recorded comparison by its name. Other records (`reproduce_…`) have no ratio and get no row."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: figure for name, figure in found.items() if "ratio" in figure}


def fill(text: str, table: str) -> str:
    """Replaces the table between the two marks of a text."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}{END}{after}"


def render(figures: dict[str, dict[str, Any]]) -> str:
    """The full table as Markdown, one line a figure in the order of `ROWS`."""
    lines = [
        "| figure | ours | other | ratio | goal | command: `python -m benchmarks.…` |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        figure = figures.get(row.name)
        cells = ("not recorded", "", "") if figure is None else _cells(figure)
        lines.append(f"| {' | '.join((f'`{row.name}`', *cells, row.goal, f'`{row.command}`'))} |")
    return "\n".join(lines) + "\n"


def render_short(figures: dict[str, dict[str, Any]]) -> str:
    """The short table as Markdown, one line a recorded figure in the order of `ROWS`."""
    lines = ["| `python -m benchmarks.…` | ours | the alternative | ratio | goal |", "|---|---|---|---|---|"]
    for row in ROWS:
        if (figure := figures.get(row.name)) is not None:
            ours, other, ratio = _number(figure["ours"]), _number(figure["other"]), _ratio(figure)
            lines.append(f"| `{row.command}` | {ours} {figure['unit']} | {other} | {ratio} | {row.goal} |")
    return "\n".join(lines) + "\n"


def _cells(figure: dict[str, Any]) -> tuple[str, str, str]:
    what, unit = figure["what"], figure["unit"]
    return (
        f"{_number(figure['ours'])} {unit} ({what['ours']})",
        f"{_number(figure['other'])} ({what['other']})",
        _ratio(figure),
    )


def _ratio(figure: dict[str, Any]) -> str:
    return f"{figure['ratio']:.3g} ({figure['what']['ratio']})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
