"""Publishing: the tags of a version, its alias, and what a failure or a kill leaves behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from orchestrator.errors import PreflightError
from orchestrator.registry.publish import MANIFEST_TAG, publish
from orchestrator.registry.versions import UnknownModelError, Version, find_version, list_versions, split_reference
from orchestrator.tracking.mlflow.store import mlflow_client
from tests.orchestrator.registry.conftest import Registry, export_tiny, random_images
from tests.support.repository import ROOT
from trainables.errors import CheckpointError, ConfigError

NAME = "tiny-model"


def publish_tiny(registry: Registry, folder: Path, alias: str = "champion", **tags: str) -> Version:
    return publish(registry.uri, registry.run_id, folder, NAME, {"aib.study": "tiny", **tags}, alias, random_images(1))


def aliases(registry: Registry) -> dict[str, str]:
    return {alias: str(v) for alias, v in mlflow_client(registry.uri).get_registered_model(NAME).aliases.items()}


@pytest.mark.slow
def test_a_published_model_is_the_champion_linked_to_its_run(registry: Registry, exported: Path) -> None:
    published = publish_tiny(registry, exported, **{"aib.signature": "0123"})
    found = find_version(registry.uri, NAME)
    assert found == published
    assert (found.version, found.alias, found.run_id) == ("1", "champion", registry.run_id)
    assert (found.tags["aib.study"], found.tags["aib.signature"]) == ("tiny", "0123")
    client = mlflow_client(registry.uri)
    logged = client.get_logged_model(found.model_id)
    assert (str(logged.status), logged.source_run_id) == ("READY", registry.run_id)
    assert logged.params["model.name"] == "vgg-aib-qt"
    outputs = client.get_run(registry.run_id).outputs.model_outputs
    assert [output.model_id for output in outputs] == [found.model_id]


def test_the_stored_files_hold_no_pickle_and_no_compiled_code(
    registry: Registry, exported: Path, stored_files: Callable[[Registry, Version], Path]
) -> None:
    packaged = stored_files(registry, publish_tiny(registry, exported)).parents[1]
    suffixes = {path.suffix for path in packaged.rglob("*") if path.is_file()}
    assert suffixes <= {"", ".py", ".json", ".md", ".safetensors", ".txt", ".yaml"}
    assert not list(packaged.rglob("__pycache__"))


@pytest.mark.slow
def test_a_new_champion_leaves_the_former_one_as_previous(registry: Registry, tmp_path: Path) -> None:
    publish_tiny(registry, export_tiny(tmp_path / "a", seed=1))
    assert aliases(registry) == {"champion": "1"}
    publish_tiny(registry, export_tiny(tmp_path / "b", seed=2))
    assert aliases(registry) == {"champion": "2", "previous": "1"}
    publish_tiny(registry, export_tiny(tmp_path / "c", seed=3), alias="challenger")
    assert aliases(registry) == {"champion": "2", "previous": "1", "challenger": "3"}


def test_publishing_the_same_files_again_makes_no_second_version(registry: Registry, exported: Path) -> None:
    first, second = publish_tiny(registry, exported), publish_tiny(registry, exported)
    assert first == second
    assert [version.version for version in list_versions(registry.uri)] == ["1"]
    assert aliases(registry) == {"champion": "1"}


@pytest.mark.slow
def test_a_version_whose_files_were_damaged_is_not_used_again(
    registry: Registry, exported: Path, stored_files: Callable[[Registry, Version], Path]
) -> None:
    first = publish_tiny(registry, exported)
    os.truncate(stored_files(registry, first) / "model.safetensors", 1000)
    assert publish_tiny(registry, exported).version == "2"


def test_an_altered_folder_is_refused_before_anything_is_registered(registry: Registry, exported: Path) -> None:
    os.truncate(exported / "model.safetensors", 1000)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        publish_tiny(registry, exported)
    assert list_versions(registry.uri) == []


_IN_A_PROCESS = """
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from tests.orchestrator.registry.conftest import Registry
from tests.orchestrator.registry.test_publish import publish_tiny

def {fault}

publish_tiny(Registry(sys.argv[1], sys.argv[2]), Path(sys.argv[3]))
"""
_CORRUPTION = """corrupt(client, model_id, local_dir, artifact_path=None):
    upload(client, model_id, local_dir, artifact_path)
    location = Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    weights = location / "artifacts" / "exported" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
upload = MlflowClient.log_model_artifacts
MlflowClient.log_model_artifacts = corrupt
"""


def in_a_process(fault: str, registry: Registry, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _IN_A_PROCESS.format(fault=fault), registry.uri, registry.run_id, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


LAST_STEPS = ("create_model_version", "set_registered_model_alias", "nothing")
ALL_STEPS = (
    *("create_logged_model", "log_model_artifacts", "download_artifacts", "finalize_logged_model", "log_outputs"),
    *LAST_STEPS,
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("counted", "met"),
    [
        pytest.param(LAST_STEPS[:2], LAST_STEPS, id="last steps"),
        pytest.param((), ALL_STEPS, id="every call", marks=pytest.mark.minutes),
    ],
)
def test_a_kill_before_any_call_leaves_a_verified_champion_and_a_retry_finishes(
    registry: Registry, tmp_path: Path, counted: tuple[str, ...], met: tuple[str, ...]
) -> None:
    publish_tiny(registry, export_tiny(tmp_path / "older", seed=0))
    publish_tiny(registry, export_tiny(tmp_path / "old", seed=1))
    new = export_tiny(tmp_path / "new", seed=2)
    script = ROOT / "tests" / "support" / "publishing_process.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), registry.run_id, str(new), *counted],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    moments = [json.loads(line) for line in done.stdout.splitlines()]
    assert {moment["before"] for moment in moments} >= set(met)
    for moment in moments:
        left, retried = moment["left"], moment["retried"]
        # The script has read back every version completely, whatever its alias.
        assert set(left["aliases"].values()) <= set(left["manifests"]), moment
        assert left["aliases"]["champion"] in (["2"] if len(left["manifests"]) == 2 else ["2", "3"]), moment
        assert retried["aliases"] == {"champion": "3", "previous": "2"}, moment
        assert len(retried["manifests"]) == len(set(retried["manifests"].values())) == 3, moment


@pytest.mark.slow
def test_files_that_the_store_altered_are_never_registered(registry: Registry, tmp_path: Path) -> None:
    publish_tiny(registry, export_tiny(tmp_path / "old", seed=1))
    ended = in_a_process(_CORRUPTION, registry, export_tiny(tmp_path / "new", seed=2))
    assert "returned other files" in ended.stderr
    assert "artifacts/exported/model.safetensors" in ended.stderr
    assert [version.version for version in list_versions(registry.uri)] == ["1"]
    assert aliases(registry) == {"champion": "1"}
    client = mlflow_client(registry.uri)
    logged = client.search_logged_models([client.get_run(registry.run_id).info.experiment_id])
    assert sorted(str(model.status) for model in logged) == ["FAILED", "READY"]


def test_publishing_sets_nothing_process_wide(registry: Registry, exported: Path) -> None:
    before = dict(os.environ)
    tracking = mlflow.get_tracking_uri()
    publish_tiny(registry, exported)
    find_version(registry.uri, NAME)
    assert mlflow.get_tracking_uri() == tracking
    assert os.environ.get("MLFLOW_TRACKING_URI") == before.get("MLFLOW_TRACKING_URI")


@pytest.mark.slow
def test_versions_are_listed_newest_first_one_row_an_alias(registry: Registry, tmp_path: Path) -> None:
    assert list_versions(registry.uri) == []
    for seed in (1, 2, 3):
        publish_tiny(registry, export_tiny(tmp_path / str(seed), seed=seed))
    rows = [(version.version, version.alias) for version in list_versions(registry.uri)]
    assert rows == [("3", "champion"), ("2", "previous"), ("1", None)]
    assert all(MANIFEST_TAG in version.tags for version in list_versions(registry.uri))


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("m", ("m", "champion", None)),
        ("m@challenger", ("m", "challenger", None)),
        ("m/3", ("m", None, "3")),
        ("models:/m@champion", ("m", "champion", None)),
        ("models:/m/12", ("m", None, "12")),
    ],
)
def test_references_are_read_as_people_write_them(reference: str, parts: tuple[str, str | None, str | None]) -> None:
    assert split_reference(reference) == parts


@pytest.mark.parametrize("reference", ["nobody", f"{NAME}@nobody", f"{NAME}/77"])
def test_an_unknown_reference_names_what_there_is(registry: Registry, exported: Path, reference: str) -> None:
    publish_tiny(registry, exported)
    with pytest.raises(UnknownModelError, match=rf"{reference}.*registered: {NAME}"):
        find_version(registry.uri, reference)


@pytest.mark.parametrize("reference", [f"{NAME}/three", "a b@c", "@", "m/"])
def test_a_reference_that_can_name_nothing_is_refused_before_it_is_looked_up(reference: str) -> None:
    with pytest.raises(ConfigError, match="NAME, NAME@ALIAS or NAME/NUMBER"):
        find_version("http://127.0.0.1:9", reference)


def test_a_registry_that_does_not_answer_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(PreflightError, match="cannot be used") as raised:
        find_version("http://user:secret-word@127.0.0.1:9", NAME)
    assert not isinstance(raised.value, UnknownModelError)
    assert "secret-word" not in str(raised.value)
