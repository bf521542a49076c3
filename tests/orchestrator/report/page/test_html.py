import pytest

from orchestrator.report.page.document import Command, Facts, Listing, Picture, Report, Row, Section, Table, Text
from orchestrator.report.page.html import html_page
from orchestrator.report.page.markdown import markdown_page

NASTY = "a|b <i>&amp; \"quoted\" 'so' *x* `y`\n# no heading"


def report() -> Report:
    table = Table(
        "t", NASTY, ("name", NASTY, "why"), (Row((NASTY, "1", NASTY), True),), prose_columns=frozenset({"why"})
    )
    picture = Picture("p", NASTY, NASTY, "image/png", b"\x89PNG", 10, 20)
    blocks = (Text(NASTY), Text(NASTY, "warning"), Listing((NASTY,)), Facts(((NASTY, NASTY),)), table, picture)
    return Report(NASTY, NASTY, (Section("s", NASTY, (*blocks, Command("aib train ``` '<x>'"))),))


def test_every_kind_of_block_is_escaped_in_html() -> None:
    page = html_page(report())
    body = page.split("</style>")[1]
    assert "<i>" not in body
    assert "&lt;i&gt;&amp;amp;" in body
    assert 'alt="a|b &lt;i&gt;&amp;amp; &quot;quoted&quot; &#x27;so&#x27;' in body
    assert '<tr class="faint"><th scope="row">' in body
    assert '<td class="prose">' in body


def test_every_kind_of_block_is_one_plain_line_in_markdown() -> None:
    text = markdown_page(report())
    assert "<i>" not in text.replace("\\<i\\>", "")
    assert [line for line in text.splitlines() if line.startswith("# ")] == [text.splitlines()[0]]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[1] == "|:--|--:|:--|"
    assert len(rows) == 3
    assert "````sh\naib train ``` '<x>'\n````" in text


@pytest.mark.parametrize("write", [html_page, markdown_page])
def test_characters_that_reorder_or_hide_a_line_are_shown_as_escapes(write: object) -> None:
    assert callable(write)
    hostile = "\x1b[31m\u202egood\ud800"
    blocks = (Text(hostile), Facts(((hostile, hostile),)), Command(f"aib train '{hostile}'"))
    page = write(Report(hostile, hostile, (Section("s", hostile, blocks),)))
    assert not set("\x1b\u202e\ud800") & set(page)
    assert page.count("x1b") >= 6
    page.encode()


@pytest.mark.parametrize("write", [html_page, markdown_page])
def test_a_report_without_sections_is_still_a_page(write: object) -> None:
    assert callable(write)
    assert "nothing" in write(Report("empty", "nothing", ()))
