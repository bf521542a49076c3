"""Artifacts of a SQLite store whose folder was moved or copied."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from orchestrator.study.lock import study_lock
from orchestrator.tracking.mlflow.sqlite_store import ARTIFACTS, database_file, present_location
from orchestrator.tracking.mlflow.store import (
    artifact_root,
    local_tracking_uri,
    mlflow_client,
    prepare_store,
    tracking_uri_or_local,
)

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Every column in which MLflow stores the location of an artifact."""


@contextmanager
def reading(root: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(root / "mlflow.db")
    yield connection
    connection.close()


def locations(root: Path) -> set[str]:
    """All locations in the database, without those of MLflow's own experiment `Default`."""
    with reading(root) as database:
        found = [row for table, column in COLUMNS for row in database.execute(f"SELECT {column} FROM {table}")]
    return {location for (location,) in found if "mlruns" not in location}


def record_study(root: Path, name: str) -> str:
    """A run with a file, a logged model with a file, and a version of it; returns the run's id."""
    uri = local_tracking_uri(root)
    experiment_id = prepare_store(uri, name, artifact_root(uri, root))
    client = mlflow_client(uri)
    run_id: str = client.create_run(experiment_id).info.run_id
    client.log_text(run_id, "figures of the run", "figures/text.txt")
    logged = client.create_logged_model(experiment_id, name="model", source_run_id=run_id)
    weights = root / "weights"
    weights.mkdir(exist_ok=True)
    (weights / "w").write_text("weights")
    client.log_model_artifacts(logged.model_id, str(weights))
    client.create_registered_model(name)
    client.create_model_version(name, source=logged.artifact_location, run_id=run_id, model_id=logged.model_id)
    return run_id


@pytest.fixture
def moved(empty_mlflow_db: Path, tmp_path: Path) -> tuple[Path, Path, str]:
    """The former root, which is gone, the present one, and the id of a run; two studies, one with a space's escape."""
    former, present = tmp_path / "a b" / "runs", tmp_path / "elsewhere" / "röt"
    former.mkdir(parents=True)
    shutil.copyfile(empty_mlflow_db, former / "mlflow.db")
    run_id = record_study(former, "tiny")
    record_study(former, "other.study-1")
    present.parent.mkdir()
    shutil.move(former, present)
    former.parent.rmdir()
    return former, present, run_id


def artifact(client: Any, run_id: str) -> str:
    return Path(client.download_artifacts(run_id, "figures/text.txt")).read_text()


def log_in_new_run(root: Path, text: str) -> Path:
    """MLflow keeps the location of a known run in memory, so a move is seen by another process, or in another run."""
    client = mlflow_client(local_tracking_uri(root))
    run_id = client.create_run(client.get_experiment_by_name("tiny").experiment_id).info.run_id
    client.log_text(run_id, text, "new.txt")
    return root / ARTIFACTS / "tiny" / run_id / "artifacts" / "new.txt"


def test_every_location_follows_a_move_and_nothing_is_written_at_the_former_place(
    moved: tuple[Path, Path, str],
) -> None:
    former, root, run_id = moved
    assert all(former.as_uri() in location for location in locations(root)), "the move alone changes none"
    client = mlflow_client(local_tracking_uri(root))
    below = (root / ARTIFACTS).as_uri()
    assert len(locations(root)) > 5
    assert all(location.startswith(f"{below}/") for location in locations(root))
    assert artifact(client, run_id) == "figures of the run"
    stored = Path(unquote(urlsplit(client.get_model_version_download_uri("tiny", "1")).path))
    assert (stored / "w").read_text() == "weights"
    assert log_in_new_run(root, "later").read_text() == "later"
    assert not former.parent.exists()


def test_a_copy_leaves_the_original_as_it_is(moved: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, original, run_id = moved
    client, copy = mlflow_client(local_tracking_uri(original)), tmp_path / "copy"
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    shutil.copytree(original, copy)
    assert log_in_new_run(copy, "in the copy").read_text() == "in the copy"
    assert all(location.startswith(f"{copy.as_uri()}/") for location in locations(copy))
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before
    assert artifact(client, run_id) == "figures of the run"


def test_a_running_study_keeps_its_locations_and_readers_find_its_files_nevertheless(
    moved: tuple[Path, Path, str],
) -> None:
    """Its driver may reach the root by another path, as in a container."""
    former, root, _ = moved
    folder = root / "studies" / "tiny"
    folder.mkdir(parents=True)
    with study_lock(folder):
        client = mlflow_client(local_tracking_uri(root))
        kept = {location for location in locations(root) if former.as_uri() in location}
        assert {location.split(f"/{ARTIFACTS}/")[1].partition("/")[0] for location in kept} == {"tiny"}
        recorded = client.get_model_version_download_uri("tiny", "1")
        assert recorded.startswith(former.as_uri())
        present = present_location(root / "mlflow.db", recorded)
        assert (Path(unquote(urlsplit(present).path)) / "w").read_text() == "weights"
        # Its own driver, at the new place.
        prepare_store(local_tracking_uri(root), "tiny", root / ARTIFACTS)
    assert not [location for location in locations(root) if former.as_uri() in location]


@pytest.mark.parametrize("location", ["s3://bucket/runs/tiny", "file:///cwd/mlruns/7", "mlflow-artifacts:/7"])
def test_a_location_that_is_not_beside_the_database_stays(location: str, empty_mlflow_db: Path, tmp_path: Path) -> None:
    shutil.copyfile(empty_mlflow_db, tmp_path / "mlflow.db")
    client = mlflow_client(local_tracking_uri(tmp_path))
    client.create_experiment("tiny", artifact_location=location)
    found = mlflow_client(local_tracking_uri(tmp_path)).get_experiment_by_name("tiny")
    assert found.artifact_location == location
    assert present_location(tmp_path / "mlflow.db", f"{location}/x") == f"{location}/x"


def test_the_path_of_a_given_file_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.getcwd()
    assert tracking_uri_or_local("root", "sqlite:///x/m.db?timeout=3") == f"sqlite:///{here}/x/m.db?timeout=3"
    for given in ("sqlite:////x/m.db", "http://h:1/x", "postgresql://h/x"):
        assert tracking_uri_or_local("root", given) == given
    assert database_file(tracking_uri_or_local("root", None)) == tmp_path / "root" / "mlflow.db"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:////x/m.db", Path("/x/artifacts")),
        ("http://h:5000", None),
        ("postgresql://h/mlflow", Path("/root/artifacts")),
    ],
)
def test_artifacts_have_one_place_for_each_kind_of_store(uri: str, expected: Path | None) -> None:
    assert artifact_root(uri, Path("/root")) == expected
