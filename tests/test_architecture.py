"""The import rule of the README: arrows run one way, and each third party stays where it belongs."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("trainables", "search_spaces", "orchestrator")
ALLOWED_OWN = {
    "trainables": {"trainables"},
    "search_spaces": {"search_spaces"},
    "orchestrator": set(PACKAGES),
}
WHERE = {
    "optuna": (
        "orchestrator/searcher.py",
        "orchestrator/optuna_space.py",
        "orchestrator/optuna_study.py",
        "orchestrator/sampler.py",
        "orchestrator/reconcile.py",
        "orchestrator/report/importance.py",
    ),
    "mlflow": ("orchestrator/tracking/", "orchestrator/registry/"),
    "ray": (
        "orchestrator/cluster.py",
        "orchestrator/slots/",
        "orchestrator/trial.py",
        "orchestrator/searcher.py",
        "orchestrator/scheduler.py",
        "orchestrator/search.py",
        "orchestrator/remote.py",
        "orchestrator/submission/jobs_api.py",
    ),
}
PURE = (
    "capacity",
    "plan",
    "signature",
    "ranking",
    "study_paths",
    "journal",
    "errors",
    "failures",
    "telemetry",
    "logs",
    "registry/gate",
    "submission/job",
)


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    package = relative.split("/")[0]
    for module in imported_modules(path):
        top = module.split(".")[0]
        if top in (*PACKAGES, "tests", "benchmarks"):
            assert top in ALLOWED_OWN[package], f"{relative} imports {module}"
        if top in WHERE:
            assert relative.startswith(WHERE[top]), f"{relative} imports {module}"


@pytest.mark.parametrize("name", PURE)
def test_decisions_import_no_third_party(name: str) -> None:
    import sys

    for module in imported_modules(ROOT / "orchestrator" / f"{name}.py"):
        top = module.split(".")[0]
        assert top in PACKAGES or top in sys.stdlib_module_names, f"{name} imports {module}"


def test_the_walk_sees_real_files() -> None:
    assert len(SOURCES) > 40
