"""The deployment files as data."""

import re
from typing import Any

import yaml

from tests.support.repository import ROOT

CLUSTER = ROOT / "cluster"
FILES = [path for path in sorted(CLUSTER.rglob("*")) if path.is_file() and "secrets" not in path.parts]
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}


def documents(name: str) -> list[dict[str, Any]]:
    """Every document of a YAML file under cluster/."""
    return list(yaml.safe_load_all((CLUSTER / name).read_text(encoding="utf-8")))


def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    found = re.search(rf"(?mi)^{re.escape(package)}==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert found, f"constraints.txt has no {package}"
    return found[1]


def image_names() -> dict[str, set[str]]:
    """Every container image with the files that name it."""
    found: dict[str, set[str]] = {}
    for name, text in TEXT.items():
        pattern = r"^FROM (\S+)" if name.endswith("Dockerfile") else r"^\s*(?:- )?image: (\S+)"
        if name.endswith(("Dockerfile", ".yaml")):
            for image in re.findall(pattern, text, re.MULTILINE):
                found.setdefault(image, set()).add(name)
    return found
