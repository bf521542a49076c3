"""The registered model in the hands of MLflow alone: loaded, and served, away from this checkout."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
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
from tests.support.free_port import free_port
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
    """No path to this checkout, no pickles."""
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
    port = free_port()
    mlflow = Path(sys.executable).with_name("mlflow")
    (tmp_path / "serving").mkdir()
    with (tmp_path / "serving" / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(mlflow), "models", "serve", "--model-uri", f"models:/{NAME}@champion", "--env-manager", "local"),
                *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            ],
            cwd=tmp_path / "serving",
            env={**environment(registry), "PATH": f"{mlflow.parent}:{os.environ['PATH']}"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/ping", process, tmp_path / "serving" / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        # `mlflow models serve` starts the server as a child; both are in the group that this test made.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"no server at {url}:\n{log.read_text(errors='replace')[-3000:]}")


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_champion_is_served_over_http(server: str, exported: Path) -> None:
    images = random_images(2)
    rows = _post(server, {"inputs": images.tolist()})["predictions"]
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
            _post(server, wrong)
        assert refused.value.code == 400
    assert _post(server, {"inputs": images.tolist()})["predictions"] == rows
