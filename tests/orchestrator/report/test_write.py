import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from orchestrator.registry.gate import refuse
from orchestrator.report.page.script import SCRIPT_SOURCE
from orchestrator.report.source import StudySource
from orchestrator.report.write import write_report
from trainables import metrics
from trainables.models.traits import traits

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Parses the page: elements, attributes, and the text outside of style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def read(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == [], "every element is closed"
    return page


@pytest.fixture
def page(finished: Any, tmp_path: Path) -> Page:
    return read(write_report([StudySource(finished.view(), tmp_path / "study")], tmp_path / "report"))


def test_page_needs_nothing_from_outside(page: Page) -> None:
    (script,) = page.all("script")
    assert not script
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            address = attrs.get(name)
            assert address is None or address.startswith(("#", "data:")), f"<{tag} {name}={address!r:.60}>"
        assert not any(name.startswith("on") for name in attrs)
    policy = next(meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy["content"])
    assert SCRIPT_SOURCE in str(policy["content"])


def test_page_can_be_read_without_eyes_or_mouse(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    images = page.all("img")
    assert len(images) >= 3
    assert all(len(image["alt"] or "") > 40 for image in images)
    assert all(image["width"] and image["height"] for image in images)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.elements:
        for reference in (attrs.get("aria-labelledby"), (attrs.get("href") or "").partition("#")[2]):
            assert not reference or reference in ids
    tables = len(page.all("table"))
    assert tables == len(page.all("caption")) >= 4
    assert all(heading.get("scope") in ("col", "row") for heading in page.all("th"))
    assert [tag for tag, _ in page.elements if tag in ("h1", "h2")].count("h1") == 1
    regions = [attrs for attrs in page.all("div") if attrs.get("class") == "scroll"]
    assert len(regions) == tables
    assert all(region["tabindex"] == "0" for region in regions)


def test_pictures_follow_the_readers_colours(finished: Any, tmp_path: Path) -> None:
    html = write_report([StudySource(finished.view(), tmp_path)], tmp_path / "report").read_text()
    pictures = [base64.b64decode(data).decode() for data in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)]
    assert len(pictures) >= 3
    for picture in pictures:
        assert "prefers-color-scheme: dark" in picture
        assert "#000000" not in picture
        assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]+"', "", picture)
    assert "prefers-color-scheme: dark" in html


def test_what_a_user_named_is_text_and_never_markup(new_study: Callable[..., Any], tmp_path: Path) -> None:
    study = new_study()
    evil = "</td><script>alert(1)</script><img src=x onerror=alert(1)>"
    study.trial("t00000", 30.0)
    study.trial("t00001", 30.0, epochs=1, state="failed", reason=evil, params={"bottleneck.beta": evil, evil: 1})
    study.event("gate", decision=refuse("finalist", evil).to_dict())
    study.event("registered", version={"name": evil, "version": 1, "alias": evil})
    found = read(write_report([StudySource(study.view(), tmp_path)], tmp_path / "report"))
    assert found.text.count(evil) >= 5
    assert len(found.all("script")) == 1
    assert all("onerror" not in attrs for _, attrs in found.elements)
    assert "<script" not in (tmp_path / "report" / "report.md").read_text().replace("\\<", "")


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda study: None, ["not started", "No trial has been started", "gate has not decided yet"]),
        (
            lambda study: study.trial("t00000", 30.0, epochs=0, state=None),
            ["No trial of a search has reported an epoch", "1 running"],
        ),
        (
            lambda study: study.trial("t00000", 30.0, epochs=2, state="stopped"),
            ["nothing to compare yet", "1 stopped early", "No finalist has been retrained."],
        ),
        (
            lambda study: study.trial("t00000", 30.0, val_attention_std=0.0),
            [
                "nothing to compare yet",
                "1 completed: 1 broke val_attention_std at least 0.02.",
                "breaks the constraint val_attention_std at least 0.02",
                "No trial is on the Pareto front yet",
            ],
        ),
        (
            lambda study: study.trial("t00000", 30.0),
            ["no model registered", "the best single run", "31.50"],
        ),
        (
            lambda study: study.trial("train", 30.0, kind="train", params={}),
            ["the best single run", "31.50"],
        ),
    ],
    ids=["empty", "running", "all-stopped", "infeasible", "no-finalist", "single-trial"],
)
def test_a_study_that_is_not_complete_gives_a_page_that_says_so(
    build: Callable[[Any], None], expected: list[str], new_study: Callable[..., Any], tmp_path: Path
) -> None:
    study = new_study()
    build(study)
    page = read(write_report([StudySource(study.view(), tmp_path)], tmp_path / "report"))
    for words in expected:
        assert words in page.text


def test_the_gates_reasons_and_the_registered_version_are_shown(finished: Any, tmp_path: Path) -> None:
    finished.event("gate", decision=refuse("champion", "the champion is better").to_dict())
    finished.event("registered", version={"name": "aib-demo", "version": "4", "alias": "challenger"})
    page = read(write_report([StudySource(finished.view(), tmp_path)], tmp_path / "report"))
    for words in (
        "refused the best finalist",
        "the champion is better",
        "failed",
        "aib-demo version 4, alias challenger",
    ):
        assert words in page.text


def test_markdown_says_what_the_page_says(finished: Any, tmp_path: Path) -> None:
    page = read(write_report([StudySource(finished.view(), tmp_path)], tmp_path / "report"))
    text = (tmp_path / "report" / "report.md").read_text()
    plain = text.replace("\\", "")
    for heading in ("Summary", "Best configuration", "Finalists", "Comparison with the paper", "Trials"):
        assert f"## {heading}" in plain
        assert heading in page.text
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    assert len(widths) > 20
    assert plain.count("\n|") == sum(len(page.all(tag)) for tag in ("tr", "table")), (
        "a line a row, and one rule a table"
    )


@pytest.mark.slow
def test_same_study_gives_the_same_bytes_and_leaves_nothing_aside(finished: Any, tmp_path: Path) -> None:
    first = write_report([StudySource(finished.view(), tmp_path)], tmp_path / "a")
    again = write_report([StudySource(finished.view(), tmp_path)], tmp_path / "a")
    other = write_report([StudySource(finished.view(), tmp_path)], tmp_path / "b")
    assert first == again == tmp_path / "a" / "report.html"
    assert first.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["report.html", "report.md", "trials.csv"]


@pytest.mark.slow
def test_a_large_study_stays_light(new_study: Callable[..., Any], tmp_path: Path) -> None:
    study = new_study(trials=3000)
    for place in range(3000):
        stopped = place % 4 != 0
        study.trial(f"t{place:05d}", 20 + place % 60, epochs=1, state="stopped" if stopped else "completed")
    page = write_report([StudySource(study.view(), tmp_path)], tmp_path / "report")
    assert page.stat().st_size < 5e6
    assert len(read(page).all("tr")) > 3000


def test_a_study_of_a_model_without_maps_is_reported_by_its_errors(new_study: Any, tmp_path: Path) -> None:
    """Scores and maps are left out; no 0 and no missing key takes their place."""
    study = new_study(
        trial={"model": "vgg", "dataset": "cifar10", "epochs": 6},
        space={"optim.lr": {"choice": [0.1, 0.05]}},
        constraints=[],
    )
    for name, level in (("t00000", 30.0), ("t00001", 20.0), ("f00001-seed1", 21.0)):
        kind, of = ("finalist", "t00001") if name.startswith("f") else ("search", None)
        study.trial(name, level, kind=kind, of=of, params={"optim.lr": 0.1})
    kept = {*metrics.searchable(traits("vgg")), "epoch", *metrics.FINAL} - {"final_val_attention_std"}
    for record in study.state.trials.values():
        record.history[:] = [{k: v for k, v in row.items() if k in kept} for row in record.history]
    text = read(write_report([StudySource(study.view(), tmp_path / "study")], tmp_path / "report")).text
    assert "vgg has no spatial map, so there is no interpretability to score." in text
    assert "vgg has no spatial map, so there is none to draw." in text
    assert "Interpretability was not scored during the search" in text
    assert "22.50" in text
