"""Renders a report as one self-contained HTML page: no network access, one script, light and dark theme."""

import base64
import html
from itertools import groupby
from typing import assert_never

from orchestrator.report.page.document import Block, Command, Facts, Listing, Picture, Report, Row, Section, Table, Text
from orchestrator.report.page.script import SCRIPT, SCRIPT_SOURCE
from orchestrator.report.page.style import STYLE
from trainables.runtime.printable import printable

_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {SCRIPT_SOURCE}"
"""Content security policy: the browser blocks every request to another address."""

_DENSE_FROM = 9
"""A table with this many columns or more uses a smaller font, so that Table 2 fits on a screen."""
_SORTABLE_FROM, _TALL_FROM, _LONG_FROM = 6, 20, 400
"""A table with this many rows or more can be sorted; has its own scroll bar and a filter; is laid out only when it
becomes visible."""


def html_page(report: Report) -> str:
    """The whole page, with all text of the report escaped."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(report.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        f'<header>\n<h1>{escape(report.title)}</h1>\n<p class="lead">{escape(report.lead)}</p>\n</header>\n'
        f'<nav aria-label="Sections">{_links(report)}</nav>\n'
        f'<main id="main">\n{"".join(map(_section, report.sections))}</main>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Text from data, as text: no markup, and no characters that reorder or hide the rest of a line."""
    return html.escape(printable(text))


def _links(report: Report) -> str:
    """The list of links to sections; one list per study if the page reports several."""
    lists = []
    for group, sections in groupby(report.sections, key=lambda section: section.group):
        links = "".join(f'<li><a href="#{escape(s.id)}">{escape(s.title)}</a></li>' for s in sections)
        lists.append(f"{f'<p>{escape(group)}</p>' if group else ''}<ul>{links}</ul>")
    return "".join(lists)


def _section(section: Section) -> str:
    heading = f"{section.id}-heading"
    blocks = "\n".join(map(_block, section.blocks))
    return (
        f'<section id="{escape(section.id)}" aria-labelledby="{escape(heading)}">\n'
        f'<h2 id="{escape(heading)}">{escape(section.heading)}</h2>\n{blocks}\n</section>\n'
    )


def _block(block: Block) -> str:
    match block:
        case Text(text, role):
            return f"<p>{escape(text)}</p>" if role == "plain" else f'<p class="{role}">{escape(text)}</p>'
        case Listing(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Facts(rows):
            return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows) + "</dl>"
        case Command(text):
            return (
                '<div class="command"><button type="button" class="copy" hidden>Copy</button>'
                f'<pre tabindex="0"><code>{escape(text)}</code></pre></div>'
            )
        case Table():
            return _table(block)
        case Picture():
            return _picture(block)
        case _:
            assert_never(block)


def _table(table: Table) -> str:
    """The table inside a region that the keyboard can scroll."""
    caption = f"{table.id}-caption"
    cell_classes = [_cell_class(table, column) for column in table.columns]
    head = "".join(f'<th scope="col"{css}>{escape(c)}</th>' for c, css in zip(table.columns, cell_classes, strict=True))
    body = "\n".join(_row(row, cell_classes) for row in table.rows)
    num_rows = len(table.rows)
    classes = ["sortable"] if num_rows >= _SORTABLE_FROM else []
    classes += ["dense"] if len(table.columns) >= _DENSE_FROM else []
    tall = " tall" if num_rows >= _TALL_FROM else ""
    long = " long" if num_rows >= _LONG_FROM else ""
    return (
        f"{_filter(table) if tall else ''}"
        f'<div class="scroll{tall}{long}" id="{escape(table.id)}" role="region" '
        f'aria-labelledby="{escape(caption)}" tabindex="0">'
        f"<table{_class_attribute(classes)}>\n"
        f'<caption id="{escape(caption)}"><span>{escape(table.caption)}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _class_attribute(names: list[str]) -> str:
    return f' class="{" ".join(names)}"' if names else ""


def _filter(table: Table) -> str:
    """The filter field; hidden until the script, which does the filtering, shows it."""
    return (
        f'<label class="filter" hidden>Show rows with<input type="search" data-filters="{escape(table.id)}">'
        "<output></output></label>"
    )


def _cell_class(table: Table, column: str) -> str:
    if column in table.prose_columns:
        return ' class="prose"'
    return ' class="text"' if column in table.text_columns else ""


def _row(row: Row, cell_classes: list[str]) -> str:
    first, *others = row.cells
    cells = "".join(f"<td{css}>{_lines(cell)}</td>" for cell, css in zip(others, cell_classes[1:], strict=True))
    faint = ' class="faint"' if row.faint else ""
    return f'<tr{faint}><th scope="row"{cell_classes[0]}>{escape(first)}</th>{cells}</tr>'


def _lines(cell: str) -> str:
    return "<br>".join(map(escape, cell.split("\n")))


def _picture(picture: Picture) -> str:
    encoded = base64.b64encode(picture.data).decode()
    raster = ' class="raster"' if picture.mime == "image/png" else ""
    return (
        f'<figure id="{escape(picture.id)}"><div class="frame">'
        f'<img{raster} src="data:{picture.mime};base64,{encoded}" '
        f'alt="{escape(picture.alt)}" width="{picture.width_px}" height="{picture.height_px}"></div>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
