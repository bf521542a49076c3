"""The commands of cluster/README.md and docs/cluster.md: their options and files exist."""

import re
import shlex
from typing import Any

import pytest
import typer

from orchestrator.cli.app import app
from search_spaces.schema import load_spec
from tests.support.cluster_files import ROOT

PAGES = ("cluster/README.md", "docs/cluster.md")
DOCUMENT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)


def commands() -> list[str]:
    """Every line of the code blocks, with continued lines joined, without comments and substitutions."""
    blocks = re.findall(r"^```\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+#.*$|\$\([^)]*\)", "", line).strip() for line in lines if line.strip()]


def calls_of(program: str) -> list[list[str]]:
    """The arguments of every call of a program, also where another program makes the call."""
    found = []
    for line in commands():
        for match in re.finditer(rf"(?:^|(?<=[\s']))(?:{program})\s+(?=[a-z])([^'|&;]*)", line):
            found.append(shlex.split(match[1]))
    return found


def check(command: Any, words: list[str]) -> None:
    """Descends to the verb and looks up every option."""
    while hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, f"no verb {name}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words[: words.index("--")] if "--" in words else words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{command.name} has no {word}"


@pytest.mark.parametrize("words", calls_of("aib"), ids=" ".join)
def test_our_own_commands_exist(words: list[str]) -> None:
    check(typer.main.get_command(app), words)


# Ray Serve, imported with the command line, uses what pydantic is about to drop.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("words", calls_of("ray"), ids=" ".join)
def test_rays_commands_exist(words: list[str]) -> None:
    from ray.scripts.scripts import cli

    check(cli, words)


def test_there_are_commands_to_check() -> None:
    assert len(calls_of("aib")) >= 6
    assert len(calls_of("ray")) >= 7


def test_files_that_commands_name_are_there() -> None:
    named = {word for line in commands() for word in re.findall(r"\b(?:cluster|search_spaces)/[\w./-]+\.\w+", line)}
    assert len(named) > 8
    for name in named:
        if "/secrets/" not in name and not name.endswith("mlflow.env"):
            assert (ROOT / name).is_file(), name


def test_searches_that_commands_name_are_valid() -> None:
    named = {word for line in commands() for word in re.findall(r"search_spaces/[\w/]+\.yaml", line)}
    assert len(named) >= 2
    for name in named:
        load_spec(ROOT / name, [])
