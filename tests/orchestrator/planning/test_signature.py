"""Signatures are equal in every process, and differ wherever a result may differ."""

import os
import re
import subprocess
import sys

import pytest

from orchestrator.planning.signature import spec_signature, trial_signature
from orchestrator.planning.trials import resolve_trial
from search_spaces.schema import SearchSpec
from tests.support.repository import ROOT
from trainables.config.trial import FIELD_TYPES, TrialConfig


def spec(**changes: object) -> SearchSpec:
    given = {"name": "s", "trial": {"epochs": 3}, "space": {"bottleneck.beta": {"choice": [0.1, 0.2]}}, "trials": 4}
    return SearchSpec.from_dict({**given, **changes})


def test_equal_trials_have_equal_signatures_however_they_are_written() -> None:
    one = TrialConfig.from_dict({"model": {"name": "vgg-aib-qt"}, "optim.lr": 0.1, "epochs": 3})
    other = TrialConfig.from_dict({"epochs": 3.0, "optim": {"lr": 1e-1}})
    assert trial_signature(one) == trial_signature(other)
    assert re.fullmatch(r"[0-9a-f]{16}", trial_signature(one))


@pytest.mark.parametrize("key", FIELD_TYPES)
def test_every_field_of_a_trial_counts(key: str) -> None:
    base = TrialConfig.from_dict({})
    value = base.get(key)
    others = (
        [not value] if isinstance(value, bool) else [value * 0.5 + 0.125, value + 1] if isinstance(value, float) else []
    )
    others += [value + 1, value + 2] if isinstance(value, int) and not isinstance(value, bool) else []
    others += [[*value, 199]] if isinstance(value, tuple) and key.endswith("epochs") else []
    others += [[0.5], [0.5, 0.5]] if isinstance(value, tuple) else []
    others += ["released", "bits", "mean", "zeros", "clip", "product", "bf16", "half", "other", 3, 5]
    others += ["vgg-16", "imagenet", "adam"]
    changed = []
    for other in others:
        try:
            changed.append(base.override({key: other}))
        except Exception:  # not allowed in this field; one of the others is
            continue
    different = [config for config in changed if config != base]
    assert different
    assert all(trial_signature(config) != trial_signature(base) for config in different)


def test_name_resources_and_number_of_trials_are_no_part_of_a_trial() -> None:
    one, other = spec(), spec(name="t", trials=2, resources={"workers_per_trial": 2})
    params = {"bottleneck.beta": 0.1}
    assert trial_signature(resolve_trial(one, params)) == trial_signature(resolve_trial(other, params))
    assert spec_signature(one) != spec_signature(other)


def test_a_search_of_a_former_version_keeps_its_signature() -> None:
    # Computed by version 0.1.0.
    assert spec_signature(spec()) == "6060046ee1259a53"
    assert spec_signature(spec(gate={"max_chance": 1})) == "6060046ee1259a53"
    assert spec_signature(spec(gate={"min_attention_std": 0.5})) != "6060046ee1259a53"


def test_a_default_written_out_is_the_same_search() -> None:
    assert spec_signature(spec()) == spec_signature(spec(sampler={"name": "tpe", "seed": 0}, finalists={"top": 3}))
    assert spec_signature(spec(resources={"gpus_per_worker": 0})) == spec_signature(spec())
    assert spec_signature(SearchSpec.from_dict(spec().to_dict())) == spec_signature(spec())
    assert spec_signature(spec(sampler={"seed": 1})) != spec_signature(spec())


def test_how_a_study_shares_its_cluster_is_no_part_of_it() -> None:
    shared = spec(resources={"priority": 3, "share": 0.5})
    assert (shared.resources.priority, shared.resources.share) == (3, 0.5)
    assert spec_signature(shared) == spec_signature(spec())


def test_another_process_finds_the_same_signature() -> None:
    code = (
        "from trainables.config.trial import TrialConfig; from orchestrator.planning.signature import trial_signature; "
        "print(trial_signature(TrialConfig.from_dict({'optim.lr': 0.3})))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == trial_signature(TrialConfig.from_dict({"optim.lr": 0.3}))
