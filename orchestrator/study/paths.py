"""Paths of the files under the root folder; checks names, and refuses a path that leads out of the root.

ROOT/mlflow.db  ROOT/artifacts/  ROOT/data/
ROOT/reports/NAME+NAME/
ROOT/studies/NAME/{study.json, journal.jsonl, slots.json, optuna.db, trials/ID/, spool/, scratch/, report/}
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import PreflightError
from orchestrator.study.private_folder import check_private
from orchestrator.study.sqlite_address import sqlite_address
from orchestrator.study.stored_facts import checked_facts
from search_spaces.names import check_name
from trainables.errors import ConfigError

JOB_FOLDERS = "working_dir_files"
"""Ray stores the working directories of submitted Ray jobs in a folder of this name."""
_MAX_JOINED = 80


@dataclass(frozen=True)
class StudyPaths:
    """One study's files as absolute paths, since workers run in other folders."""

    root: Path
    name: str

    @property
    def mlflow_db(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def folder(self) -> Path:
        return self.root / "studies" / self.name

    @property
    def study_json(self) -> Path:
        return self.folder / "study.json"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def optuna_db(self) -> Path:
        return self.folder / "optuna.db"

    @property
    def trials(self) -> Path:
        return self.folder / "trials"

    @property
    def spool(self) -> Path:
        """Records on their way to the tracking server."""
        return self.folder / "spool"

    @property
    def scratch(self) -> Path:
        """Ray's own files; the program never reads them again."""
        return self.folder / "scratch"

    @property
    def slot_report(self) -> Path:
        """What a running driver says of its slots (`study.slot_report`)."""
        return self.folder / "slots.json"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    def trial(self, trial: str) -> Path:
        """Returns a trial's folder; raises ConfigError for an id that is not a plain name."""
        return inside(self.trials, trial, "trial")

    def stored(self) -> dict[str, Any] | None:
        """Returns the content of `study.json` for a resume; None where the study does not exist.

        Raises PreflightError where another user can write to the folder, or where the file is damaged.
        """
        check_private(self.folder)
        return self.read_stored()

    def read_stored(self) -> dict[str, Any] | None:
        """Returns the content of `study.json` for a reader; the study may belong to another user."""
        try:
            return checked_facts(json.loads(self.study_json.read_text(encoding="utf-8")), self.name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            why = getattr(error, "strerror", None) or error
            raise PreflightError(
                f"{self.study_json} cannot be read ({why}); restore it from a copy, or choose another name with --name."
            ) from None

    def create(self) -> None:
        """Creates the study's folders for their owner alone, since a resume executes what they hold.

        Raises PreflightError where a folder cannot be created, or where another user can write to it.
        """
        check_private(self.folder)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            for part in (self.trials, self.spool, self.scratch):
                part.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise PreflightError(
                f"the study's folder {self.folder} cannot be made ({error.strerror}); choose another --root."
            ) from None


def study_paths(root: Path | str, name: str) -> StudyPaths:
    """Returns the paths of a study.

    Raises ConfigError for a name that is not allowed or that leads out of the root, and for a root whose databases have
    no address. Raises PreflightError for a root that is deleted with a submitted Ray job.
    """
    paths = StudyPaths(_lasting(Path(root).resolve()), _checked(name, "study"))
    sqlite_address(paths.mlflow_db)
    _under(paths.root / "studies", name)
    return paths


def data_root(root: Path | str) -> Path:
    """Returns the folder of prepared data sets."""
    return _lasting(Path(root).resolve()) / "data"


def _lasting(root: Path) -> Path:
    """Returns the root; raises PreflightError for one in the folder that Ray deletes with its job."""
    if JOB_FOLDERS in root.parts:
        raise PreflightError(
            f"the root {root} lies in this job's own folder, which is deleted with the job; give --root, or set "
            "AIB_ROOT for the job or on the cluster, to a folder that every node reaches."
        )
    return root


def inside(folder: Path, name: str, what: str) -> Path:
    """Returns FOLDER/NAME; raises ConfigError for a name that is not plain, or a link that leads out of the folder."""
    return _under(folder, _checked(name, what))


def reports_folder(root: Path | str, names: Sequence[str]) -> Path:
    """Returns the folder for the report of several studies; a long list of names is cut and ends in its digest."""
    joined = "+".join(names)
    if len(joined) > _MAX_JOINED:
        joined = f"{joined[:_MAX_JOINED]}-{hashlib.sha256(joined.encode()).hexdigest()[:8]}"
    return Path(root).resolve() / "reports" / joined


def _checked(name: str, what: str) -> str:
    try:
        return check_name(name)
    except ValueError as error:
        raise ConfigError(f"the name of a {what} {error}.") from None


def _under(folder: Path, name: str) -> Path:
    """Returns FOLDER/NAME; raises ConfigError for a link that leads out of FOLDER."""
    path = folder / name
    if not path.resolve().is_relative_to(folder):
        raise ConfigError(f"{path} is a link that leads out of {folder}; remove it, or choose another name.")
    return path
