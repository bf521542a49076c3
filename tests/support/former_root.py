"""A root as version 0.1.0 left it, before the modules moved into rooms (tests/fixtures/former_root.tar.xz).

It holds two studies of one spec, 1/64 of the width, on the embedded digits at 16 px, of which one was interrupted:

- `former`, finished: journal, Optuna database, and the registered model `aib-former` with its alias `champion`.
- `interrupted`, after SIGINT: two trials begun, one of them with a checkpoint of epoch 2 of 4.

Paths in it begin with /ROOT. MLflow's metrics, the figures and the prepared data were left out to keep it small.
"""

import os
import sqlite3
import tarfile
from pathlib import Path

from tests.support.repository import ROOT

ARCHIVE = ROOT / "tests" / "fixtures" / "former_root.tar.xz"
PATHS_IN_MLFLOW = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def unpack_former_root(folder: Path, data: Path) -> Path:
    """Unpacks the root to `folder`, with `data` as its prepared data sets."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    os.symlink(data, folder / "data")
    for journal in folder.glob("studies/*/journal.jsonl"):
        journal.write_text(journal.read_text(encoding="utf-8").replace("/ROOT", str(folder)), encoding="utf-8")
    database = sqlite3.connect(folder / "mlflow.db")
    for table, column in PATHS_IN_MLFLOW:
        database.execute(f"UPDATE {table} SET {column} = replace({column}, '/ROOT', ?)", (str(folder),))
    database.commit()
    database.close()
    return folder
