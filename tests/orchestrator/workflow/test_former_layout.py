"""Studies, checkpoints and registered models of version 0.1.0 are resumed, loaded and served by this one.

Their root was moved: nothing is read or written at its former place.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.support.compare_studies import contradictions
from orchestrator.study.journal import read_state
from orchestrator.study.paths import study_paths
from orchestrator.tracking.mlflow.store import local_tracking_uri
from tests.support.command import aib, answer, environment
from tests.support.former_root import FORMER_PLACE, unpack_former_root
from tests.support.repository import ROOT
from tests.support.served_model import post, serving
from trainables.checkpoints.checkpoint import latest_checkpoint, read_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODEL = "models:/aib-former@champion"
LOAD = """
import json, sys
if sys.argv[2:]:
    sys.path.insert(0, sys.argv[2])
    import trainables.evaluation.evaluate
import mlflow.pyfunc, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(np.full((1, 16, 16, 3), 9, np.uint8))))
"""


def settings(root: Path) -> dict[str, str]:
    """A user's environment with this root's registry, and no path to this checkout."""
    registry = {"MLFLOW_TRACKING_URI": local_tracking_uri(root), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    return {**{name: value for name, value in environment().items() if name != "PYTHONPATH"}, **registry}


@pytest.fixture
def root(tmp_path: Path, digits_root: Path) -> Iterator[Path]:
    yield unpack_former_root(tmp_path / "runs", digits_root)
    assert not FORMER_PLACE.exists()


@pytest.mark.ray
def test_an_interrupted_study_is_resumed_from_its_checkpoint_to_a_champion(root: Path, tmp_path: Path) -> None:
    paths, spec = study_paths(root, "interrupted"), tmp_path / "interrupted.yaml"
    given = json.loads(paths.study_json.read_text())["spec"]
    # Its models are no better than chance. A field that this version adds makes no other spec of it.
    spec.write_text(json.dumps(given | {"gate": {**given["gate"], "max_chance": 1}}))
    before = paths.journal.read_bytes()
    checkpoint = latest_checkpoint(paths.trial("t00001"))
    assert checkpoint is not None
    assert [row["epoch"] for row in read_history(checkpoint)] == [1, 2]
    done = aib(root, "search", str(spec), "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert "tracking store refused" not in done.stderr, "MLflow takes every record"
    found = json.loads(done.stdout)
    assert found["trials"]["completed"] + found["trials"]["stopped"] == found["trials"]["planned"] == 3
    assert found["registered"]["alias"] == "champion"
    assert paths.journal.read_bytes().startswith(before)
    assert contradictions(root, "interrupted") == []
    # The same trial ran in full in the other study; its last epochs are those that the checkpoint led to.
    resumed, in_full = (
        read_state(study_paths(root, name).journal).trials["t00001"] for name in ("interrupted", "former")
    )
    assert (resumed.params, resumed.seed) == (in_full.params, in_full.seed)
    for ours, theirs in zip(resumed.history, in_full.history, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)


def test_a_finished_study_is_read_and_reported(root: Path) -> None:
    found = answer(root, "status", "former")
    assert found["stage"] == "done"
    assert found["mlflow"]["tracking_uri"] == local_tracking_uri(root)
    assert found["report"] == str(study_paths(root, "former").report / "report.html")
    assert len(answer(root, "trials", "former")["trials"]) == 4
    assert Path(answer(root, "report", "former")["report"]).is_file()


def test_a_registered_model_is_pulled_evaluated_and_predicts(root: Path, tmp_path: Path) -> None:
    pulled = aib(root, "pull", "aib-former@champion", str(tmp_path / "model"))
    assert pulled.returncode == 0, pulled.stderr
    trials = {row["trial"]: row["metrics"] for row in answer(root, "trials", "former")["trials"]}
    evaluated = answer(root, "evaluate", MODEL)["metrics"]["test_error_pct"]
    assert evaluated == pytest.approx(trials["f00000-seed1"]["final_test_error_pct"])


@pytest.mark.parametrize("present_code", [(), (str(ROOT),)], ids=["alone", "beside this version's packages"])
def test_mlflow_loads_a_registered_model(root: Path, tmp_path: Path, present_code: tuple[str, ...]) -> None:
    """The model's own copy of the code loads it; a process that has imported our packages uses them.

    MLflow finds the files of a moved root once a command of ours has read the registry.
    """
    assert len(answer(root, "models")["models"]) == 1
    done = subprocess.run(
        [sys.executable, "-c", LOAD, MODEL, *present_code],
        cwd=tmp_path,
        env=settings(root),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (row,) = json.loads(done.stdout.splitlines()[-1])
    assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_a_registered_model_is_served(root: Path, tmp_path: Path) -> None:
    answer(root, "status", "former")
    with serving(MODEL, settings(root), tmp_path / "serving") as url:
        (row,) = post(url, {"inputs": [[[[9, 9, 9]] * 16] * 16]})["predictions"]
    assert row["label"] in "0123456789"
