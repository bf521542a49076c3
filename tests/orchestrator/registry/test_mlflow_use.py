"""MLflow alone loads and serves the registered model, without this checkout."""

import json
import os
import pickle
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.registry.versions import Version
from tests.orchestrator.registry.conftest import CLASSES, Registry, random_images
from tests.orchestrator.registry.test_exported_folder import Poison
from tests.orchestrator.registry.test_publish import NAME, publish_tiny
from tests.support.served_model import post, serving
from trainables.evaluation.evaluate import Draws
from trainables.evaluation.inference import infer
from trainables.export import load_exported

pytestmark = pytest.mark.slow

_LOAD = """
import json, sys
import mlflow.pyfunc, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
images = np.load(sys.argv[2])
plain = model.predict(images)
fewer = model.predict(images, params={"attention_samples": 1, "latent_samples": 1})
import trainables
print(json.dumps({"plain": plain, "fewer": fewer, "code": trainables.__file__}))
"""


def environment(registry: Registry) -> dict[str, str]:
    """An environment without a path to this checkout, in which MLflow refuses pickles."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    return {
        **kept,
        "MLFLOW_TRACKING_URI": registry.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }


def load_elsewhere(registry: Registry, folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    np.save(folder / "images.npy", random_images(2))
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, f"models:/{NAME}@champion", str(folder / "images.npy")],
        cwd=folder,
        env=environment(registry),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "stderr": done.stderr}


def test_the_champion_loads_anywhere_with_pickles_disallowed(
    registry: Registry, exported: Path, tmp_path: Path
) -> None:
    publish_tiny(registry, exported)
    found = load_elsewhere(registry, tmp_path / "elsewhere")
    assert Path(found["code"]).is_relative_to(tmp_path / "artifacts") or "site-packages" in found["code"]
    assert "hint" not in found["stderr"]
    loaded, images = load_exported(exported), random_images(2)
    for rows, draws in ((found["plain"], None), (found["fewer"], Draws(1, 1))):
        expected = infer(loaded, images, draws)
        assert np.asarray([row["probabilities"] for row in rows]) == pytest.approx(expected.probabilities_NC, abs=1e-6)
        assert np.asarray([row["attention"] for row in rows]) == pytest.approx(expected.maps_Nhw, abs=1e-6)
        assert [row["label"] for row in rows] == [CLASSES[i] for i in expected.probabilities_NC.argmax(1)]


def test_a_pickle_put_beside_the_model_is_not_run(
    registry: Registry, exported: Path, tmp_path: Path, stored_files: Callable[[Registry, Version], Path]
) -> None:
    packaged = stored_files(registry, publish_tiny(registry, exported)).parents[1]
    canary = tmp_path / "canary"
    for name in ("python_model.pkl", "model.pkl", "artifacts/python_model.pkl"):
        (packaged / name).write_bytes(pickle.dumps(Poison(canary)))
    assert len(load_elsewhere(registry, tmp_path / "elsewhere")["plain"]) == 2
    assert not canary.exists()


@pytest.fixture
def server(registry: Registry, exported: Path, tmp_path: Path) -> Iterator[str]:
    publish_tiny(registry, exported)
    with serving(f"models:/{NAME}@champion", environment(registry), tmp_path / "serving") as url:
        yield url


def test_the_champion_is_served_over_http(server: str, exported: Path) -> None:
    images = random_images(2)
    rows = post(server, {"inputs": images.tolist()})["predictions"]
    expected = infer(load_exported(exported), images)
    assert np.asarray([row["probabilities"] for row in rows]) == pytest.approx(expected.probabilities_NC, abs=1e-6)
    assert [row["index"] for row in rows] == expected.probabilities_NC.argmax(1).tolist()
    for wrong in (
        {"inputs": images[:, :8].tolist()},
        {"inputs": images.tolist(), "params": {"attention_samples": 10**6}},
        {"inputs": images.tolist(), "params": {"latent_samples": -1}},
        {"inputs": (images.astype(int) + 300).tolist()},
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(server, wrong)
        assert refused.value.code == 400
    assert post(server, {"inputs": images.tolist()})["predictions"] == rows
