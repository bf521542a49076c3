"""The commands that open a study in other programs' pages: MLflow's, and optuna-dashboard's for the search."""

import shlex
from typing import NamedTuple
from urllib.parse import urlsplit

from orchestrator.study.paths import StudyPaths
from orchestrator.study.study import StudyView

MLFLOW_ADDRESS = "http://127.0.0.1:5000"
DASHBOARD_ADDRESS = "http://127.0.0.1:8080"


class Interface(NamedTuple):
    name: str
    command: str | None
    """What serves the page on this machine; None where a server is up already."""
    link: str


def interfaces(paths: StudyPaths, view: StudyView) -> list[Interface]:
    """Of what the study has so far. A study without a search has no Optuna storage, one not yet recorded no MLflow."""
    found, record = [], view.state.mlflow
    if record is not None:
        # MLflow opens on the pages of another kind of work unless the address says which.
        uri = record["tracking_uri"]
        page = f"/#/experiments/{record['experiment_id']}?workflowType=machine_learning"
        if urlsplit(uri).scheme in ("http", "https"):
            found.append(Interface("MLflow", None, uri.rstrip("/") + page))
        else:
            serve = f"mlflow ui --backend-store-uri {shlex.quote(uri)} --host 127.0.0.1 --port 5000"
            found.append(Interface("MLflow", serve, MLFLOW_ADDRESS + page))
    if paths.optuna_db.exists():
        serve = f"optuna-dashboard {shlex.quote(f'sqlite:///{paths.optuna_db}')} --host 127.0.0.1 --port 8080"
        found.append(Interface("Optuna", serve, DASHBOARD_ADDRESS))
    return found


def interface_lines(paths: StudyPaths, view: StudyView) -> list[str]:
    """For a person, a line each: the command, and the address that it then serves."""
    return [
        f"{found.name}: {found.link}" + (f" after: {found.command}" if found.command else "")
        for found in interfaces(paths, view)
    ]
