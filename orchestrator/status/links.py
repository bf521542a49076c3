"""Where to look at a study in a browser: MLflow's page, and optuna-dashboard's page for a search."""

import shlex
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestrator.study.paths import StudyPaths
from orchestrator.study.sqlite_address import sqlite_address
from orchestrator.study.study import StudyView
from orchestrator.tracking.mlflow.sqlite_store import database_file, follow_move_if_possible

MLFLOW_ADDRESS = "http://127.0.0.1:5000"
DASHBOARD_ADDRESS = "http://127.0.0.1:8080"


class Link(NamedTuple):
    name: str
    command: str | None
    """Starts a server for the page on this machine; None if a server is already running."""
    url: str


def study_links(paths: StudyPaths, view: StudyView) -> list[Link]:
    """The pages that have something to show: MLflow once the study is recorded, Optuna once it has a storage."""
    found, record = [], view.state.mlflow
    if record is not None:
        # Without this parameter, MLflow opens on its pages for language models.
        uri = record["tracking_uri"]
        page = f"/#/experiments/{record['experiment_id']}?workflowType=machine_learning"
        if urlsplit(uri).scheme in ("http", "https"):
            found.append(Link("MLflow", None, uri.rstrip("/") + page))
        else:
            if (file := database_file(uri)) is not None:
                # MLflow's own pages read the locations of artifacts from the database.
                follow_move_if_possible(file)
            serve = f"mlflow ui --backend-store-uri {shlex.quote(uri)} --host 127.0.0.1 --port 5000"
            found.append(Link("MLflow", serve, MLFLOW_ADDRESS + page))
    if paths.optuna_db.exists():
        serve = f"optuna-dashboard {shlex.quote(sqlite_address(paths.optuna_db))} --host 127.0.0.1 --port 8080"
        found.append(Link("Optuna", serve, DASHBOARD_ADDRESS))
    return found


def link_lines(paths: StudyPaths, view: StudyView) -> list[str]:
    """One line of text per page: its URL, and the command that serves it."""
    return [
        f"{link.name}: {link.url}" + (f" after: {link.command}" if link.command else "")
        for link in study_links(paths, view)
    ]
