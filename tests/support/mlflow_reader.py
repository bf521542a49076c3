"""Reads the runs of a store with a separate client, as a user sees them, duplicates included."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient


def read_runs(uri: str, study: str) -> dict[str | None, dict[str, Any]]:
    """Returns the run of each trial (None: of the study); fails if a trial has two runs."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    runs: dict[str | None, dict[str, Any]] = {}
    for run in client.search_runs([experiment.experiment_id] if experiment else [], max_results=1000):
        trial = run.data.tags.get("aib.trial")
        assert trial not in runs, f"two runs for {trial}"
        history = {
            key: sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key))
            for key in run.data.metrics
            if not key.startswith("system/")
        }
        runs[trial] = {
            "id": run.info.run_id,
            "status": run.info.status,
            "start_ms": run.info.start_time,
            "end_ms": run.info.end_time,
            "name": run.info.run_name,
            "params": run.data.params,
            "tags": run.data.tags,
            "history": history,
            "datasets": {(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs},
            "files": {
                path: Path(client.download_artifacts(run.info.run_id, path)).read_bytes()
                for path in _files(client, run.info.run_id)
            },
        }
    return runs


def _files(client: MlflowClient, run_id: str, folder: str | None = None) -> list[str]:
    found = []
    for each in client.list_artifacts(run_id, folder):
        found += _files(client, run_id, each.path) if each.is_dir else [each.path]
    return found
