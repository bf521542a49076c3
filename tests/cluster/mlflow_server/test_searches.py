"""Two searches at once from two drivers against the server, and their champion in other processes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.mlflow_server.deployment import Account, Deployment
from tests.cluster.mlflow_server.searches import MODEL, Searched, run
from tests.orchestrator.tracking.mlflow_reader import read_runs

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def as_ann(ann: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ann.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("as_ann")
def test_each_search_has_its_runs_metrics_and_figures_under_its_parent(
    deployment: Deployment, searched: dict[str, Searched]
) -> None:
    for study, search in searched.items():
        runs = read_runs(deployment.uri, study)
        assert set(runs) == {None, "t00000", "t00001", *search.found["finalists"][0]["trials"]}
        parent = runs[None]["id"]
        assert parent == search.found["mlflow"]["run_id"]
        for trial, recorded in runs.items():
            assert recorded["status"] == "FINISHED"
            if trial is not None:
                assert recorded["tags"]["mlflow.parentRunId"] == parent
                assert [step for step, _ in recorded["history"]["val_error_pct"]] == [1, 2]
                figures = [data for path, data in recorded["files"].items() if path.endswith(".png")]
                assert figures
                assert all(data.startswith(b"\x89PNG") for data in figures)
        assert "report/report.html" in runs[None]["files"]


def test_artifacts_are_in_the_object_store(deployment: Deployment, searched: dict[str, Searched]) -> None:
    import boto3

    keys = {
        "endpoint_url": deployment.settings["MLFLOW_S3_ENDPOINT_URL"],
        "aws_access_key_id": deployment.settings["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": deployment.settings["AWS_SECRET_ACCESS_KEY"],
        "region_name": deployment.settings["AWS_DEFAULT_REGION"],
    }
    stored = boto3.client("s3", **keys).list_objects_v2(Bucket="mlflow")["Contents"]
    for search in searched.values():
        prefix = search.found["mlflow"]["experiment_id"] + "/"
        names = [entry["Key"] for entry in stored if entry["Key"].startswith(prefix)]
        assert any(name.endswith("model.safetensors") for name in names)
        assert any(name.endswith("report.html") for name in names)


def test_both_searches_registered_a_version_and_one_is_the_champion(
    deployment: Deployment, searched: dict[str, Searched], ann: Account, tmp_path: Path
) -> None:
    registered = {study: search.found["registered"] for study, search in searched.items()}
    assert {version["name"] for version in registered.values()} == {MODEL}
    assert {version["version"] for version in registered.values()} == {"1", "2"}
    done = run(deployment.uri, ann, tmp_path, "models", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["models"]
    by_alias = {row["alias"]: row for row in rows if row["name"] == MODEL and row["alias"]}
    assert set(by_alias) == {"champion", "previous"}
    assert {row["version"] for row in by_alias.values()} == {"1", "2"}
    assert {row["tags"]["aib.study"] for row in by_alias.values()} == {"left", "right"}


def test_whoever_may_read_pulls_and_predicts_with_address_and_account_alone(
    deployment: Deployment, searched: dict[str, Searched], bob: Account, tmp_path: Path
) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "black.png")
    pulled = run(deployment.uri, bob, tmp_path, "pull", f"{MODEL}@champion", "model", "--json", cwd=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    assert {"config.json", "model.safetensors"} <= set(json.loads(pulled.stdout)["files"])
    predicted = run(deployment.uri, bob, tmp_path, "predict", f"{MODEL}@champion", "black.png", "--json", cwd=tmp_path)
    assert predicted.returncode == 0, predicted.stderr
    (row,) = json.loads(predicted.stdout)["predictions"]
    assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-4)
    assert Path(tmp_path / row["attention_png"]).is_file()


def _texts(search: Searched) -> Iterator[tuple[str, bytes]]:
    yield "what the command said", search.said.encode()
    for path in search.root.rglob("*"):
        if path.is_file() and "data" not in path.relative_to(search.root).parts:
            yield str(path), path.read_bytes()


@pytest.mark.usefixtures("as_ann")
def test_no_secret_is_in_output_files_or_the_record(
    deployment: Deployment, searched: dict[str, Searched], ann: Account
) -> None:
    secrets = [ann.password, deployment.admin.password, *map(deployment.settings.get, ("PGPASSWORD",))]
    secrets += [deployment.settings["AWS_SECRET_ACCESS_KEY"], deployment.settings["MLFLOW_FLASK_SERVER_SECRET_KEY"]]
    texts = [("the server's log", deployment.log.read_bytes())]
    for study, search in searched.items():
        texts += _texts(search)
        for recorded in read_runs(deployment.uri, study).values():
            texts.append(("params and tags", json.dumps([recorded["params"], recorded["tags"]]).encode()))
            texts += list(recorded["files"].items())
    assert len(texts) > 50
    for where, text in texts:
        for secret in secrets:
            assert str(secret).encode() not in text, where
