"""The samplers after a plain `pip install .`, without the packages that only the tests need."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT

PROPOSE = """
import json, sys
absent = set(json.loads(sys.argv[1]))
class Plain:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Plain())
import optuna
from orchestrator.search.optuna_space import to_optuna
from orchestrator.search.sampler import SeededSampler
from search_spaces.schema import SearchSpec
varied = {"bottleneck.beta": {"float": [0.001, 1.0], "log": True}, "attention.num_anchors": {"int": [2, 50]}}
for sampler in ("tpe", "gp", "nsga2", "cmaes", "random"):
    spec = SearchSpec.from_dict({"name": "s", "trial": {}, "space": varied, "trials": 12, "sampler": sampler})
    study = optuna.create_study(sampler=SeededSampler(spec))
    for number in range(spec.trials):
        study.tell(study.ask(to_optuna(spec.space)), float(number % 5))
    print(sampler, len(study.trials))
"""


def installed(wanted: Iterable[str]) -> set[str]:
    """What pip installs for these requirements, by canonical name."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in found:
            continue
        try:
            below = [Requirement(text) for text in requires(one.name) or ()]
        except PackageNotFoundError:
            continue  # for another platform
        found.add(key)
        environments = [{"extra": extra} for extra in (*one.extras, "")]
        waiting += [r for r in below if r.marker is None or any(map(r.marker.evaluate, environments))]
    return {name for name, _ in found}


@pytest.mark.slow
def test_every_sampler_proposes_with_what_a_plain_installation_has() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = {*installed(declared["dependencies"]), declared["name"]}
    absent = [m for m, names in packages_distributions().items() if plain.isdisjoint(map(canonicalize_name, names))]
    assert "pytest" in absent
    command = [sys.executable, "-c", PROPOSE, json.dumps(absent)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.stdout.split() == ["tpe", "12", "gp", "12", "nsga2", "12", "cmaes", "12", "random", "12"], done.stderr
