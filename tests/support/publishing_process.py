"""For every n: publishes, is killed before the n-th call of MLflow's client, and retries.

Prints one JSON object per n: what the kill left, and the result of the retry.

python publishing_process.py ROOT RUN_ID FOLDER [CALL...]

ROOT contains mlflow.db with a champion. If calls are named, only they are counted. Every step is a fork of one process
that has imported MLflow and has not used a store, so that MLflow is imported only once.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient

from orchestrator.registry import publish as publishing
from orchestrator.registry.package import package
from orchestrator.tracking.mlflow.store import local_tracking_uri
from tests.orchestrator.registry.conftest import random_images

NAME = "tiny-model"


def main(root: Path, run_id: str, folder: Path, *counted: str) -> None:
    uri = local_tracking_uri(root)
    packaged = package(folder, root / "packaged", random_images(1))
    # Packaging is the slowest part and makes no call of the registry, so it is done once.
    publishing.package = lambda _folder, target, _example: Path(shutil.copytree(packaged, target))  # type: ignore[assignment]
    shutil.copyfile(root / "mlflow.db", root / "before.db")

    def publish() -> None:
        publishing.publish(uri, run_id, folder, NAME, {"aib.study": "tiny"}, "champion", random_images(1))

    for n in count(1):
        shutil.copyfile(root / "before.db", root / "mlflow.db")
        called = root / "called"
        killed = _forked(lambda n=n, called=called: (_die_before(n, called, counted), publish()))

        def retry(called: Path = called) -> None:
            left = _registry(uri)
            publish()
            moment = {"before": called.read_text(), "left": left, "retried": _registry(uri)}
            print(json.dumps(moment), flush=True)

        assert not _forked(retry)
        if not killed:
            return


def _registry(uri: str) -> dict[str, Any]:
    """The aliases, and every version's registered manifest; fails if a version's files are incomplete."""
    client = MlflowClient(uri)
    manifests = {}
    for found in client.search_model_versions(f"name = '{NAME}'"):
        version = publishing.to_version(found, None)
        with tempfile.TemporaryDirectory() as scratch:
            publishing.load_version(uri, version, Path(scratch))
        manifests[version.version] = version.tags[publishing.MANIFEST_TAG]
    aliases = {alias: str(version) for alias, version in client.get_registered_model(NAME).aliases.items()}
    return {"aliases": aliases, "manifests": manifests}


def _die_before(n: int, called: Path, counted: tuple[str, ...]) -> None:
    """Sends SIGKILL before the n-th call and writes down the call's name."""
    calls = count(1)

    def dying(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if (not counted or name in counted) and next(calls) == n:
                called.write_text(name)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapped

    called.write_text("nothing")
    for name, call in vars(MlflowClient).items():
        if callable(call) and not name.startswith("_"):
            setattr(MlflowClient, name, dying(name, call))
    mlflow.artifacts.download_artifacts = dying("download_artifacts", mlflow.artifacts.download_artifacts)


def _forked(action: Callable[[], object]) -> bool:
    """Runs the action in a child process; returns whether it was killed, raises AssertionError if it failed."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
