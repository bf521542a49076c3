"""A report as one self-contained HTML page: no network, no script, light and dark, readable without colour."""

import base64
from html import escape
from typing import assert_never

from orchestrator.report.document import Block, Command, Facts, Listing, Picture, Report, Row, Section, Table, Text

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The browser itself refuses whatever would leave the page."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #5a626d; --line: #c9ced6;
  --panel: #f3f5f7; --link: #00558a; --warn: #8a3b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #14171b; --faint: #a0a8b3; --line: #3a414a;
  --panel: #1d2227; --link: #7cc4f4; --warn: #ffb782; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .7rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p, ul { max-width: 48rem; margin: .6rem 0; }
a { color: var(--link); }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
.lead { font-size: 1.1rem; }
.note { color: var(--faint); }
.warning { border-left: 4px solid var(--warn); padding-left: .8rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; max-width: none; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; margin: .8rem 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; margin: .8rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font: .9rem/1.5 ui-monospace, monospace; }
.scroll { overflow: auto; max-height: 38rem; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 .5rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: min(48rem, 90vw); font-weight: 600; }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { position: sticky; top: 0; background: var(--paper); vertical-align: bottom; color: var(--faint);
  font-weight: 600; white-space: normal; max-width: 8rem; }
th:first-child, .text, .prose { text-align: left; }
td.prose { white-space: normal; min-width: 12rem; max-width: 30rem; overflow-wrap: anywhere; }
tbody th { font-weight: 400; }
.faint th, .faint td { color: var(--faint); font-style: italic; }
figure { margin: 1.2rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
figure img.raster { background: #ffffff; padding: .5rem; border-radius: 6px; }
figcaption { color: var(--faint); margin-top: .4rem; max-width: 48rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print { .scroll { max-height: none; overflow: visible; } nav, .skip { display: none; }
  section, figure { break-inside: avoid-page; } }
"""


def html_page(report: Report) -> str:
    """The whole page; every text of the report is escaped."""
    links = "".join(f'<li><a href="#{escape(s.id)}">{escape(s.title)}</a></li>' for s in report.sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        f'<header>\n<h1>{escape(report.title)}</h1>\n<p class="lead">{escape(report.lead)}</p>\n</header>\n'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n'
        f'<main id="main">\n{"".join(map(_section, report.sections))}</main>\n</body>\n</html>\n'
    )


def _section(section: Section) -> str:
    heading = f"{section.id}-heading"
    blocks = "\n".join(map(_block, section.blocks))
    return (
        f'<section id="{escape(section.id)}" aria-labelledby="{escape(heading)}">\n'
        f'<h2 id="{escape(heading)}">{escape(section.title)}</h2>\n{blocks}\n</section>\n'
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
            return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'
        case Table():
            return _table(block)
        case Picture():
            return _picture(block)
        case _:
            assert_never(block)


def _table(table: Table) -> str:
    """A table in a region that the keyboard can scroll."""
    caption = f"{table.id}-caption"
    kinds = [_kind(table, column) for column in table.columns]
    head = "".join(f'<th scope="col"{kind}>{escape(c)}</th>' for c, kind in zip(table.columns, kinds, strict=True))
    body = "\n".join(_row(row, kinds) for row in table.rows)
    return (
        f'<div class="scroll" id="{escape(table.id)}" role="region" aria-labelledby="{escape(caption)}" tabindex="0">'
        f'<table>\n<caption id="{escape(caption)}"><span>{escape(table.caption)}</span></caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _kind(table: Table, column: str) -> str:
    if column in table.prose_columns:
        return ' class="prose"'
    return ' class="text"' if column in table.text_columns else ""


def _row(row: Row, kinds: list[str]) -> str:
    first, *others = row.cells
    cells = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(others, kinds[1:], strict=True))
    faint = ' class="faint"' if row.faint else ""
    return f'<tr{faint}><th scope="row"{kinds[0]}>{escape(first)}</th>{cells}</tr>'


def _picture(picture: Picture) -> str:
    encoded = base64.b64encode(picture.data).decode()
    raster = ' class="raster"' if picture.mime == "image/png" else ""
    return (
        f'<figure id="{escape(picture.id)}"><img{raster} src="data:{picture.mime};base64,{encoded}" '
        f'alt="{escape(picture.alt)}" width="{picture.width_px}" height="{picture.height_px}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
