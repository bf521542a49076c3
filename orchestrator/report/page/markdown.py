"""Renders a report as Markdown: text, tables, and each picture's description in place of the picture."""

import re
from typing import assert_never

from orchestrator.report.page.document import Block, Command, Facts, Listing, Picture, Report, Row, Table, Text
from trainables.runtime.printable import printable

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown_page(report: Report) -> str:
    """The whole report, with all Markdown and HTML markup characters escaped."""
    parts = [f"# {_plain(report.title)}", _plain(report.lead)]
    for section in report.sections:
        parts += [f"## {_plain(section.heading)}", *map(_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text(text, role):
            return f"> {_plain(text)}" if role == "warning" else _plain(text)
        case Listing(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Facts(rows):
            return "\n".join(f"- {_plain(name)}: {_plain(value)}" for name, value in rows)
        case Command(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return f"{fence}sh\n{printable(text)}\n{fence}"
        case Table():
            return _table(block)
        case Picture(caption=caption, alt=alt):
            return f"*{_plain(caption)}* {_plain(alt)}"
        case _:
            assert_never(block)


def _table(table: Table) -> str:
    left_columns = table.text_columns | table.prose_columns
    aligned_left = [place == 0 or column in left_columns for place, column in enumerate(table.columns)]
    rule = "|" + "|".join(":--" if left else "--:" for left in aligned_left) + "|"
    lines = [_line(Row(table.columns)), rule, *map(_line, table.rows)]
    return f"**{_plain(table.caption)}**\n\n" + "\n".join(lines)


def _line(row: Row) -> str:
    return "| " + " | ".join(_plain(cell.replace("\n", "; ")) for cell in row.cells) + " |"


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))
