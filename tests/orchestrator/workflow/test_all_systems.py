"""Every system of Table 1 through Ray Train, scored and recorded on the same path."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import aib, answer, runs_of
from tests.support.repository import ROOT
from trainables import metrics
from trainables.models.build import MODELS
from trainables.models.traits import traits

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.minutes, pytest.mark.timeout(600)]

SPEC = ROOT / "search_spaces" / "examples" / "all_systems_small.yaml"
SMALLER = {
    "model.width": 0.03125,
    "data.train_images": 256,
    "data.val_images": 60,
    "data.test_images": 60,
    "evaluation.interp_images": 20,
    "evaluation.batch_size": 30,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root after a search over all twelve systems, on real CIFAR-10, SVHN and STL-10 where they are available."""
    folder = tmp_path_factory.mktemp("systems")
    real = Path(os.environ.get("AIB_TEST_DATA", ""))
    changes: dict[str, Any] = dict(SMALLER)
    if "AIB_TEST_DATA" in os.environ and (real / "cifar10").is_dir():
        for name in ("cifar10", "svhn", "stl10"):
            prepared = aib(folder, "data", "prepare", name, "--from", str(real / name))
            assert prepared.returncode == 0, prepared.stderr
    else:
        changes |= {"dataset": "cluttered-digits", "data.image_size": 16}
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    done = aib(folder, "search", str(SPEC), "--name", "systems", *settings)
    # A model of one epoch may be refused by the gate.
    assert done.returncode in (0, 5), done.stderr
    return folder


@pytest.mark.parametrize("model", MODELS)
def test_a_system_trains_and_its_record_holds_what_it_has(root: Path, model: str) -> None:
    (run,) = [
        run
        for run in runs_of(root, "systems")
        if run.data.params.get("model.name") == model and run.data.tags["aib.trial"].startswith("t")
    ]
    assert run.info.status == "FINISHED"
    found, has = set(run.data.metrics), traits(model)
    assert {"val_error_pct", "final_test_error_pct", "train_nll", "images_per_s"} <= found
    assert ("val_kl_nats" in found) == has.latent
    assert ("train_codebook" in found) == has.quantized
    assert ("train_auxiliary_nll" in found) == has.auxiliary
    scores = {*metrics.INTERPRETABILITY, "val_attention_std"}
    assert scores <= found if has.maps else not scores & found
    for name in has.maps[1:]:
        assert metrics.of_map(name, "interp_centered_pct") in found
    if run.data.params["data.name"] == "cifar10":
        assert {"stl10_train_error_pct", "stl10_test_error_pct", "stl10_test_index_error_pct"} <= found


def test_all_twelve_are_trials_of_one_study_that_chose_one(root: Path) -> None:
    found = answer(root, "status", "systems")
    assert found["trials"]["completed"] == len(MODELS) == 12
    assert found["best"]["params"]["model.name"] in MODELS
