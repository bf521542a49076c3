"""Compares what a study left in its journal, Optuna, MLflow and on disk, with each other and with another study.

Each function returns one sentence for each error that it finds; an empty list means no error.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import optuna
import torch

from orchestrator.finalists.selection import plan_finalists
from orchestrator.search.optuna_space import to_params
from orchestrator.study.journal import StudyState, TrialRecord
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.study import StudyView, view_study
from orchestrator.tracking.mlflow.store import local_tracking_uri, mlflow_client
from trainables.checkpoints.checkpoint import checkpoint_folder, read_tensors, verify

TIMING = frozenset({"images_per_s", "epoch_s", "inference_ms_per_image"})
"""Metrics that differ from run to run."""
OPTUNA_STATES = {"completed": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
MLFLOW_STATUS = {"completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


def contradictions(root: Path, study: str) -> list[str]:
    """Finds where a finished search under ROOT is incomplete or recorded twice."""
    paths = study_paths(root, study)
    view = view_study(paths)
    return [*_in_journal(paths, view), *_in_optuna(paths, view), *_in_mlflow(paths, view)]


def _in_journal(paths: StudyPaths, view: StudyView) -> Iterator[str]:
    planned = [f"t{number:05d}" for number in range(view.spec.trials)]
    if (found := [record.trial for record in view.state.of_kind("search")]) != planned:
        yield f"the journal's search trials are {found}, planned were {planned}"
    finalists = {one.trial for one in plan_finalists(view.spec, view.state.of_kind("search"))}
    if (again := {record.trial for record in view.state.of_kind("finalist")}) != finalists:
        yield f"the finalists are {sorted(again)}, the search's results ask for {sorted(finalists)}"
    for record in view.state.trials.values():
        if record.state == "running" or not record.recorded:
            yield f"{record.trial} is {record.state} in the journal, recorded: {record.recorded}"
    lines = Counter(_happened(json.loads(line)) for line in paths.journal.read_text(encoding="utf-8").splitlines())
    yield from (f"the journal has {count} lines of {what}" for what, count in lines.items() if what and count > 1)


def _happened(event: dict[str, Any]) -> str:
    """What an event records once only; empty for events that may be repeated."""
    if event["event"] == "epoch":
        return f"epoch {event['metrics']['epoch']:.0f} of {event['trial']}"
    return f"{event['event']} {event['trial']}" if event["event"] in ("trial", "ended") else ""


def _in_optuna(paths: StudyPaths, view: StudyView) -> Iterator[str]:
    found = optuna.load_study(study_name=view.spec.name, storage=f"sqlite:///{paths.optuna_db}").trials
    records = view.state.of_kind("search")
    if len(found) != len(records):
        yield f"Optuna has {len(found)} trials, the journal {len(records)}"
    for record, trial in zip(records, found, strict=False):
        if OPTUNA_STATES.get(record.state) != trial.state.name:
            yield f"{record.trial} is {record.state} in the journal, {trial.state.name} in Optuna"
        if record.params != to_params(view.spec.space, trial.params):
            yield f"{record.trial} has {record.params} in the journal, {trial.params} in Optuna"


def _in_mlflow(paths: StudyPaths, view: StudyView) -> Iterator[str]:
    client = mlflow_client(local_tracking_uri(paths.root))
    experiment = client.get_experiment_by_name(view.spec.name)
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    names = Counter(run.data.tags.get("aib.trial", "") for run in runs.values())
    if names != Counter(["", *view.state.trials]):
        yield f"MLflow has the runs {dict(names)}, the journal the trials {list(view.state.trials)}"
    for run_id, run in runs.items():
        record = view.state.trials.get(run.data.tags.get("aib.trial", ""))
        wanted = MLFLOW_STATUS.get(record.state, "?") if record else "FINISHED"
        if run.info.status != wanted:
            yield f"the run of {record.trial if record else 'the study'} is {run.info.status}, not {wanted}"
        rows = record.history if record else []
        for metric in sorted({name for row in rows for name in row} - {"epoch"}):
            points = [(point.step, point.value) for point in client.get_metric_history(run_id, metric)]
            if record and points != [(row["epoch"], row[metric]) for row in rows if metric in row]:
                yield f"MLflow's history of {metric} of {record.trial} is {points}"
    versions = client.search_model_versions(f"name = '{view.spec.registered_model}'")
    if len(versions) != (1 if view.state.registered else 0):
        yield f"{len(versions)} versions of {view.spec.registered_model} are registered"


def differences(root: Path, study: str, other: str) -> list[str]:
    """Finds differences of two studies: trials, suggestions, order, metrics of every epoch, weights, champion."""
    ours, theirs = view_study(study_paths(root, study)).state, view_study(study_paths(root, other)).state
    found = [
        f"{one and _comparable(one)} in {study}, {two and _comparable(two)} in {other}"
        for one, two in zip_longest(ours.trials.values(), theirs.trials.values())
        if one is None or two is None or _comparable(one) != _comparable(two)
    ]
    found += [
        f"the weights of {name} after epoch {record.epoch} are not the same bits in {study} and {other}"
        for name, record in ours.trials.items()
        if name in theirs.trials and not _same_weights(root, study, other, record)
    ]
    champions = [(state.registered or {}).get("trial") for state in (ours, theirs)]
    return found if champions[0] == champions[1] else [*found, f"the champions are {champions}"]


def losses(before: StudyState, after: StudyState) -> list[str]:
    """Finds suggestions, epochs and ends of trials that a study lost or changed."""
    found = []
    for name, one in before.trials.items():
        two = after.trials.get(name)
        if two is None or (one.params, one.seed) != (two.params, two.seed):
            found.append(f"{name} was {one.params} with seed {one.seed} before, and is {two and two.params}")
        elif two.history[: len(one.history)] != one.history:
            found.append(f"the epochs of {name} were {one.history} before, and are {two.history}")
        elif one.state != "running" and (one.state, one.epoch, one.ended_s) != (two.state, two.epoch, two.ended_s):
            found.append(f"{name} had ended before, and did again")
    return found


def weights(root: Path, study: str, record: TrialRecord) -> dict[str, torch.Tensor] | None:
    """All tensors of the checkpoint of a trial's last recorded epoch: weights, best weights, optimiser state.

    None if the checkpoint was pruned. That may happen to a stopped trial whose workers were one epoch further.
    """
    first = checkpoint_folder(study_paths(root, study).trial(record.trial), record.epoch)
    # A second attempt at an epoch lies beside the first: `epoch_000007.002`.
    folder = max([first, *first.parent.glob(f"{first.name}.*")])
    if not folder.exists() and record.state == "stopped":
        return None
    files = sorted(name.removesuffix(".safetensors") for name in verify(folder) if name.endswith(".safetensors"))
    return {f"{name}/{key}": tensor for name in files for key, tensor in read_tensors(folder, name).items()}


def _comparable(record: TrialRecord) -> tuple[Any, ...]:
    rows = [{name: value for name, value in row.items() if name not in TIMING} for row in record.history]
    return record.trial, record.of, record.seed, record.params, record.state, rows


def _same_weights(root: Path, study: str, other: str, record: TrialRecord) -> bool:
    one, two = weights(root, study, record), weights(root, other, record)
    if one is None or two is None:
        return True
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
