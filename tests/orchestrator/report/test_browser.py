"""The page in a real browser: it logs nothing, fetches nothing, draws every figure, and works from the keyboard."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.registry.gate import refuse
from orchestrator.report.source import StudySource
from orchestrator.report.write import write_report
from tests.support.kept_answers import keep_answers
from tests.support.report_browser import CHROMIUM, Browser, browse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: the Debian package chromium"),
]

DRAWN = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
BROKEN_LINKS = (
    "[...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))"
    ".filter(href => !href.startsWith('#') || !document.getElementById(href.slice(1)))"
)
HIDDEN_SIDE = "id => { const at = document.getElementById(id); return at.scrollWidth - at.clientWidth; }"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def page(finished: Any, tmp_path: Path) -> Path:
    """The report of a finished study with every kind of figure, of two studies together beside it."""
    finished.event("gate", decision=refuse("champion", "the champion is better").to_dict())
    trials = tmp_path / "trials"
    keep_answers(trials / "f00003-seed1")
    write_report([StudySource(finished.view(), trials)], tmp_path / "one")
    return tmp_path / "one" / "report.html"


def test_the_page_draws_everything_logs_nothing_and_fetches_nothing(page: Path, tmp_path: Path) -> None:
    async def visit(browser: Browser) -> None:
        await browser.open(page)
        assert await browser.evaluate("document.images.length") >= 14
        assert await browser.evaluate(DRAWN)
        assert await browser.evaluate(BROKEN_LINKS) == []
        for dark in (False, True):
            for width in (1200, 360):
                await browser.show(width=width, dark=dark)
                assert await browser.evaluate(OVERFLOW) <= 0, f"wider than a screen of {width} px"
                hidden_px = await browser.evaluate(f"(({HIDDEN_SIDE})('table-2'))")
                assert (hidden_px <= 0) == (width > 1000), "Table 2 fits a wide screen, and scrolls on a narrow one"
        assert browser.problems == []
        assert [url for url in browser.requests if not url.startswith(("data:", "file:"))] == []
        assert [url for url in browser.requests if url.startswith("file:")] == [page.as_uri()]

    browse(tmp_path, visit)


def test_the_page_is_dark_for_those_who_ask_for_it(page: Path, tmp_path: Path) -> None:
    """Figures too: the mean of the screen, with the history figure on it, is dark or light."""
    means = {}

    async def visit(browser: Browser) -> None:
        await browser.open(page)
        for dark in (False, True):
            await browser.show(width=1200, dark=dark)
            await browser.evaluate("document.getElementById('history').scrollIntoView()")
            shot = Image.open(io.BytesIO(await browser.screenshot())).convert("L")
            means[dark] = float(np.asarray(shot).mean())

    browse(tmp_path, visit)
    assert means[False] > 200
    assert means[True] < 60


def test_the_page_works_from_the_keyboard(page: Path, tmp_path: Path) -> None:
    async def visit(browser: Browser) -> None:
        await browser.open(page)
        await browser.press("Tab", 9)
        assert await browser.evaluate("document.activeElement.className") == "skip"
        reached = set()
        for _ in range(60):
            await browser.press("Tab", 9)
            reached.add(await browser.evaluate("document.activeElement.className + document.activeElement.tagName"))
        assert {"A", "copyBUTTON", "sortBUTTON"} <= reached
        # Sorting by the keyboard: Enter on the button of a column, once up and once down.
        cells = "[...document.querySelectorAll('#trials-table tbody tr')].map(row => row.cells[3].textContent)"
        await browser.evaluate("document.querySelectorAll('#trials-table button.sort')[3].focus()")
        orders = []
        for _ in range(2):
            await browser.press("Enter", 13, "\r")
            orders.append([float(text) for text in await browser.evaluate(cells)])
        assert orders[0] == sorted(orders[0])
        assert orders[1] == sorted(orders[0], reverse=True)
        assert await browser.evaluate("document.querySelectorAll('[aria-sort=descending]').length") == 1
        assert browser.problems == []

    browse(tmp_path, visit)


def test_several_studies_share_one_page(finished: Any, new_study: Any, tmp_path: Path) -> None:
    other = new_study(name="other", trial={"model": "vgg", "dataset": "cifar10", "epochs": 6}, constraints=[])
    other.trial("t00000", 30.0)
    keep_answers(tmp_path / "trials" / "f00003-seed1")
    sources = [StudySource(finished.view(), tmp_path / "trials"), StudySource(other.view(), tmp_path / "none")]
    page = write_report(sources, tmp_path / "both")

    async def visit(browser: Browser) -> None:
        await browser.open(page)
        assert await browser.evaluate(DRAWN)
        assert await browser.evaluate(BROKEN_LINKS) == []
        ids = await browser.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
        assert len(ids) == len(set(ids))
        assert {"demo-history", "other-history", "table-1", "studies-table"} <= set(ids)
        assert browser.problems == []

    browse(tmp_path, visit)


def test_three_thousand_trials_open_within_three_seconds(new_study: Any, tmp_path: Path) -> None:
    study = new_study(trials=3000)
    for place in range(3000):
        stopped = place % 4 != 0
        study.trial(f"t{place:05d}", 20 + place % 61, epochs=2, state="stopped" if stopped else "completed")
    page = write_report([StudySource(study.view(), tmp_path / "none")], tmp_path / "large")
    assert page.stat().st_size < 10e6

    async def visit(browser: Browser) -> None:
        # The first opening also pays for the browser's own start; the better of two is the page's.
        taken_s = min([await browser.open(page), await browser.open(page)])
        assert taken_s < 3
        assert await browser.evaluate(DRAWN)
        await browser.evaluate(
            "(() => { const input = document.querySelector('[data-filters=trials-table]');"
            "input.value = 't0012 completed'; input.dispatchEvent(new Event('input')); })()"
        )
        left = "[...document.querySelectorAll('#trials-table tbody tr')].filter(row => !row.hidden).length"
        # t00120, t00124 and t00128 ran in full.
        assert await browser.evaluate(left) == 3
        assert browser.problems == []

    browse(tmp_path, visit)
