"""The documentation names only links, files, modules, commands and targets that exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from orchestrator.cli.app import app
from tests.support.repository import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")}
)
PACKAGES = "benchmarks|cluster|docs|orchestrator|search_spaces|tests|trainables"
MADE_BY_THE_USER = ("cluster/secrets", "cluster/mlflow/mlflow.env")

each_page = pytest.mark.parametrize("page", PAGES)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def code_of(page: str) -> list[str]:
    """Every line of the fenced blocks, without comments, and every code span outside them."""
    fences = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    lines = "".join(fences.findall(text_of(page))).splitlines()
    spans = re.findall(r"`([^`]+)`", fences.sub("", text_of(page)))
    return [re.sub(r"(^|\s+)#\s.*", "", line).strip() for line in (*lines, *spans)]


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_the_index_names_every_page() -> None:
    index = text_of("docs/README.md")
    missing = [page for page in PAGES if page.startswith("docs/") and f"({Path(page).name})" not in index]
    assert missing == ["docs/README.md"]


@each_page
def test_relative_links_lead_to_files_and_headings(page: str) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text_of(page)):
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors_of(path), target


@each_page
def test_files_that_a_page_names_exist(page: str) -> None:
    plain = re.sub(r"https?://\S+", "", text_of(page))
    named = set(re.findall(rf"(?<![\w/.-])(?:{PACKAGES})/[\w./*-]*[\w*/]", plain))
    for name in named:
        if not name.startswith(MADE_BY_THE_USER):
            assert list(ROOT.glob(name.rstrip("/"))), name


@each_page
def test_modules_that_a_page_runs_exist(page: str) -> None:
    for name in re.findall(r"python -m ([a-z_]+(?:\.\w+)*)", "\n".join(code_of(page))):
        if re.match(PACKAGES, name) and not name.endswith((".NAME", ".")):
            path = ROOT / name.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists() or path.is_dir(), name


@each_page
def test_commands_of_aib_have_the_verbs_and_options_that_a_page_gives(page: str) -> None:
    for line in code_of(page):
        for call in re.findall(r"(?:^|[\s/'(])aib ((?:--log-format json )?[a-z][^&|;']*)", line):
            check(typer.main.get_command(app), call.removeprefix("--log-format json ").split(), line)


def check(command: Any, words: list[str], line: str) -> None:
    """Descends to the verb and looks up every option."""
    while hasattr(command, "commands"):
        assert words, line
        name = words.pop(0).strip(",")
        assert name in command.commands, f"no verb {name}: {line}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for option in re.findall(r"(?<![\w-])--[a-z-]+", " ".join(words)):
        assert option in known | {"--help"}, f"aib {command.name} has no {option}: {line}"


@each_page
def test_targets_of_make_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {target for line in code_of(page) for target in re.findall(r"^make ([\w-]+)", line)}
    assert named <= targets


@pytest.mark.parametrize("package", ["orchestrator", "trainables"])
def test_the_maps_list_the_rooms_in_the_order_of_the_import_contracts(package: str) -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["id"] == package]
    rooms = [room for layer in layers for room in layer.split(" | ")]
    block = re.search(rf"^{package}/ .*\n((?:  .*\n)+)", text_of("README.md"), re.MULTILINE)
    assert block
    assert [line.split()[0].rstrip("/") for line in block[1].splitlines()] == rooms
    table = text_of("docs/architecture.md").partition(f"### `{package}/`")[2].partition("\n###")[0]
    assert re.findall(r"^\| `(\w+)/?` \|", table, re.MULTILINE) == rooms


def test_the_names_in_steps_of_a_change_are_in_the_file_of_the_step() -> None:
    """A step begins with its file: ``1. `trainables/metrics.py`: …``."""
    steps = re.findall(r"^\d\. `([\w/.]+\.py)`: (.*(?:\n   .*)*)", text_of("CONTRIBUTING.md"), re.MULTILINE)
    assert len(steps) > 10
    for file, step in steps:
        for name in re.findall(r"`(\w+)`", step):
            assert re.search(rf"\b{name}\b", text_of(file)), f"{file} has no {name}"
