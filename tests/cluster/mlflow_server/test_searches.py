"""Two drivers run two searches at once against the server; other processes use the champion."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.tracking.mlflow.store import mlflow_client
from tests.support.mlflow_deployment import Account, Deployment
from tests.support.server_searches import MODEL, Searched, run

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stored(deployment: Deployment, searched: dict[str, Searched]) -> dict[str, bytes]:
    """The object store after both searches."""
    assert searched
    return deployment.stored()


@pytest.mark.usefixtures("as_ann")
def test_each_search_has_its_runs_metrics_and_figures_under_its_parent(
    deployment: Deployment, searched: dict[str, Searched], stored: dict[str, bytes]
) -> None:
    client = mlflow_client(deployment.uri)
    for search in searched.values():
        experiment, parent = search.found["mlflow"]["experiment_id"], search.found["mlflow"]["run_id"]
        runs = {run.data.tags.get("aib.trial"): run for run in client.search_runs([experiment])}
        assert set(runs) == {None, "t00000", "t00001", *search.found["finalists"][0]["trials"]}
        assert runs[None].info.run_id == parent
        assert all(run.info.status == "FINISHED" for run in runs.values())
        for trial in set(runs) - {None}:
            assert runs[trial].data.tags["mlflow.parentRunId"] == parent
            history = client.get_metric_history(runs[trial].info.run_id, "val_error_pct")
            assert [point.step for point in history] == [1, 2]
            of_run = f"{experiment}/{runs[trial].info.run_id}/artifacts/"
            figures = [data for key, data in stored.items() if key.startswith(of_run) and key.endswith(".png")]
            assert figures
            assert all(data.startswith(b"\x89PNG") for data in figures)
        assert f"{experiment}/{parent}/artifacts/report/report.html" in stored
        assert " INFO mlflow" not in search.said
        assert any(key.startswith(f"{experiment}/models/") and key.endswith("model.safetensors") for key in stored)


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
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert Path(tmp_path / row["attention_png"]).is_file()


def _files(search: Searched) -> Iterator[tuple[str, bytes]]:
    for path in search.root.rglob("*"):
        if path.is_file() and search.root / "data" not in path.parents:
            yield str(path), path.read_bytes()


def test_no_secret_is_in_output_files_or_the_record(
    deployment: Deployment, searched: dict[str, Searched], stored: dict[str, bytes], ann: Account
) -> None:
    hidden = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_FLASK_SERVER_SECRET_KEY")
    secrets = [ann.password, deployment.admin.password, *(deployment.settings[name] for name in hidden)]
    texts = {
        **stored,
        **{f"table {table}": rows.encode() for table, rows in deployment.tables().items()},
        "the server's log": deployment.log.read_bytes(),
    }
    for study, search in searched.items():
        texts |= {f"what {study} said": search.said.encode(), **dict(_files(search))}
    assert b"aib.trial" in texts["table tags"]
    assert any(name.endswith("journal.jsonl") for name in texts)
    for where, text in texts.items():
        for secret in secrets:
            assert secret.encode() not in text, where
