"""Checks the addresses that a command was given; connects to nothing. The first check of every run and plan."""

import os
from pathlib import Path

from orchestrator.errors import PreflightError
from orchestrator.options import RunOptions
from orchestrator.study.checkpoint_storage import TrialStorage, choose_storage
from orchestrator.study.paths import StudyPaths
from orchestrator.tracking.mlflow.sqlite_store import check_database, database_file
from orchestrator.tracking.mlflow.store import check_tracking_uri, tracking_uri_or_local


def check_addresses(options: RunOptions, paths: StudyPaths) -> TrialStorage:
    """Returns where the checkpoints go. Raises ConfigError for a tracking store or a storage that a search of this
    study refuses, and PreflightError for a root that cannot be written and for a tracking database that is none."""
    _check_root(paths.root)
    record = tracking_uri_or_local(options.root, options.tracking_uri)
    check_tracking_uri(record)
    if (file := database_file(record)) is not None:
        check_database(file)
    return choose_storage(options.storage, paths)


def _check_root(root: Path) -> None:
    there = next(path for path in (root, *root.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise PreflightError(
            f"the root {root} cannot be used: {there} is no folder that this user can write. Choose another --root (or "
            "AIB_ROOT), or make it writable."
        )
