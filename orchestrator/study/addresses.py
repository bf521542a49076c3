"""Addresses in a study's journal: relative to the root where they lie under it, so that a root can be moved.

Earlier versions wrote absolute addresses. Readers see absolute addresses under the present root in both cases.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator.study.journal import StudyState
from orchestrator.study.paths import StudyPaths
from orchestrator.study.sqlite_address import sqlite_address

OWN_RECORD = "sqlite:///mlflow.db"
"""The record under the root. Any other SQLite record has an absolute path, so four slashes."""
_LOCK_WAIT_S = 5.0


def movable_record(paths: StudyPaths, record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the `record` of the journal's event `mlflow`, in the form that survives a move of the root."""
    own = record["tracking_uri"] == sqlite_address(paths.mlflow_db)
    return {**record, "tracking_uri": OWN_RECORD} if own else dict(record)


def movable_path(paths: StudyPaths, path: Path) -> str:
    """Returns a path under the root relative to it."""
    return path.relative_to(paths.root).as_posix()


def located(paths: StudyPaths, state: StudyState) -> StudyState:
    """Returns the state with absolute addresses under the present root."""
    if state.mlflow is not None and _is_own(paths, state.mlflow):
        state.mlflow = {**state.mlflow, "tracking_uri": sqlite_address(paths.mlflow_db)}
    if state.report is not None:
        state.report = str(_located_path(paths, Path(state.report)))
    return state


def _is_own(paths: StudyPaths, record: Mapping[str, Any]) -> bool:
    """Whether the record is the root's own: written as such, or by an earlier version at a former place of the root.

    Then the database under the root holds the study's run. A run's id is unique.
    """
    uri = str(record["tracking_uri"])
    if uri in (OWN_RECORD, sqlite_address(paths.mlflow_db)):
        return True
    return uri.startswith("sqlite:////") and _holds_run(paths.mlflow_db, record["run_id"])


def _holds_run(database: Path, run_id: str | None) -> bool:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=_LOCK_WAIT_S)) as connection:
            found = connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
    except sqlite3.Error:
        return False
    return found is not None


def _located_path(paths: StudyPaths, path: Path) -> Path:
    """The path under the present root; an absolute one, by an earlier version, begins with a former place of the root.

    A path outside of the study's folder stays as it is.
    """
    if not path.is_absolute():
        return paths.root / path
    tail = paths.folder.relative_to(paths.root).parts
    for at in range(len(path.parts) - len(tail), 0, -1):
        if path.parts[at : at + len(tail)] == tail:
            return paths.root.joinpath(*path.parts[at:])
    return path
