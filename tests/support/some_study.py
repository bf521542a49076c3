"""A study's folder as a killed search leaves it: journal, real checkpoints, Ray's files, interrupted writes."""

import json
from pathlib import Path
from typing import Any

import torch

from orchestrator.study.checkpoint_storage import TrialStorage, choose_storage
from orchestrator.study.journal import Journal
from orchestrator.study.paths import StudyPaths, study_paths
from search_spaces.schema import SearchSpec
from tests.orchestrator.report.conftest import SPEC, epoch_row, final_row
from trainables.checkpoints.checkpoint import write_checkpoint

EPOCHS = 6


def make_study(root: Path, storage_uri: str | None = None) -> tuple[StudyPaths, TrialStorage]:
    """Trials t0 completed and best, t1 stopped, t2 failed, t3 running, t4 completed and not yet recorded, t5 completed;
    one completed finalist of t0 and one that runs. Each has the checkpoints of its last three epochs."""
    spec = SearchSpec.from_dict({**SPEC, "name": "some"})
    paths = study_paths(root, "some")
    storage = choose_storage(storage_uri, paths)
    paths.create()
    facts = {"signature": "0", "spec": spec.to_dict(), **storage.facts}
    paths.study_json.write_text(json.dumps(facts))
    journal = Journal(paths.journal)
    journal.append("stage", stage="searching")
    write_trial(journal, storage, "t00000", 20.0, "completed")
    write_trial(journal, storage, "t00001", 50.0, "stopped", epochs=4)
    write_trial(journal, storage, "t00002", 40.0, "failed", epochs=3)
    write_trial(journal, storage, "t00003", 30.0, None, epochs=4)
    write_trial(journal, storage, "t00004", 35.0, "completed", recorded=False)
    write_trial(journal, storage, "t00005", 45.0, "completed")
    write_trial(journal, storage, "f00000-seed1", 21.0, "completed", kind="finalist", of="t00000", seed=1)
    write_trial(journal, storage, "f00000-seed2", 22.0, None, epochs=5, kind="finalist", of="t00000", seed=2)
    journal.close()
    write_leftovers(paths)
    return paths, storage


def write_trial(
    journal: Journal,
    storage: TrialStorage,
    trial: str,
    level: float,
    state: str | None,
    *,
    epochs: int = EPOCHS,
    kind: str = "search",
    of: str | None = None,
    seed: int = 0,
    recorded: bool = True,
    params: dict[str, Any] | None = None,
) -> None:
    if params is None:
        params = {"bottleneck.beta": 0.01, "bottleneck.latent_dim": 32, "attention.lambda_q": 0.05 + level / 100}
    journal.append("trial", trial=trial, kind=kind, params=params, seed=seed, of=of)
    for epoch in range(1, epochs + 1):
        last = final_row(level) if state == "completed" and epoch == epochs else {}
        journal.append("epoch", trial=trial, metrics={**epoch_row(epoch, level), **last})
    for epoch in range(max(1, epochs - 2), epochs + 1):
        save(storage, trial, epoch)
    if state is not None:
        journal.append("ended", trial=trial, state=state, reason="")
        if recorded:
            journal.append("recorded", trial=trial)


def save(storage: TrialStorage, trial: str, epoch: int) -> None:
    tensors = {name: {"w": torch.full((16,), float(epoch))} for name in ("model", "best")}
    storage.of(trial).save(epoch, lambda folder: write_checkpoint(folder, tensors, {"epoch": epoch}))


def write_leftovers(paths: StudyPaths) -> None:
    """Files that a SIGKILL at the worst moments leaves."""
    for folder in ("scratch/slots/a1/worker", "scratch/tune", ".export.x1y2", ".export-x1y2", "report"):
        (paths.folder / folder).mkdir(parents=True)
    for file, size in {
        "scratch/slots/a1/worker/log.txt": 100,
        "scratch/tune/tuner.pkl": 200,
        ".export.x1y2/model.safetensors": 300,
        ".export-x1y2/model.safetensors": 300,
        "report/.report.html.123": 50,
        "report/report.html": 60,
        "study.tmp": 10,
        "scratch/slots/a1/.validate_storage_marker": 0,
        "../../.storage-check-driver-1": 10,
    }.items():
        (paths.folder / file).write_bytes(b"x" * size)
    paths.optuna_db.write_bytes(b"db")
