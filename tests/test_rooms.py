"""What the import contracts of pyproject.toml cannot say of the layout: names that mean one thing."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.support.repository import ROOT

PACKAGES = ("orchestrator", "trainables", "search_spaces")
SAME_ROLE = {"__init__", "errors", "tracker"}
"""Errors of each package; the tracker's interface and its implementation for MLflow."""
FORMER_NAMES = {"trainables/evaluate.py", "trainables/inference.py"}
"""Modules that registered models of earlier versions import."""
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def named_twice(names: list[tuple[str, Path]]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for name, path in names:
        found[name].append(path.relative_to(ROOT).as_posix())
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_no_two_modules_share_a_basename() -> None:
    named = [path for path in MODULES if path.relative_to(ROOT).as_posix() not in FORMER_NAMES]
    assert len(named) > 200
    assert named_twice([(path.stem, path) for path in named if path.stem not in SAME_ROLE]) == {}


def test_no_two_public_classes_share_a_name() -> None:
    classes = [
        (node.name, path)
        for path in MODULES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert len(classes) > 100
    assert named_twice(classes) == {}


def test_orchestrator_is_rooms_and_little_else() -> None:
    top = {path.name for path in (ROOT / "orchestrator").glob("*.py")}
    assert top == {"__init__.py", "__main__.py", "errors.py", "options.py"}


def test_every_module_says_what_it_is() -> None:
    silent = [
        path for path in MODULES if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
