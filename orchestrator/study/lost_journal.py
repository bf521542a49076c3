"""Tells a study whose journal is lost from a new one: a new study has no trials."""

import sqlite3
from contextlib import closing

from orchestrator.errors import PreflightError
from orchestrator.study.paths import StudyPaths


def check_journal(paths: StudyPaths) -> None:
    """Raises PreflightError where the journal has no line, but other files of the study show that trials ran.

    A driver writes the first line before it makes `optuna.db` or the folder of a trial.
    """
    try:
        with paths.journal.open("rb") as journal:
            if journal.readline().endswith(b"\n"):
                return
        what = "is empty"
    except FileNotFoundError:
        what = "is missing"
    except OSError:
        # It is there; whoever reads it says why it cannot be read.
        return
    if trials := _trials(paths):
        raise PreflightError(
            f"{paths.journal} {what}, but {trials}; without its journal the study would begin again and lose them. "
            "Restore the journal from a copy, or search again under another name with --name."
        )


def _trials(paths: StudyPaths) -> str | None:
    """What shows that trials ran; None if nothing does."""
    if paths.optuna_db.is_file() and paths.optuna_db.stat().st_size > 0:
        try:
            with closing(sqlite3.connect(f"{paths.optuna_db.as_uri()}?mode=ro", uri=True)) as connection:
                (count,) = connection.execute("SELECT count(*) FROM trials").fetchone()
        except sqlite3.Error as error:
            return f"{paths.optuna_db} cannot be read ({error})"
        if count:
            return f"{paths.optuna_db} holds {count} trial{'s' * (count != 1)}"
    if paths.trials.is_dir() and any(paths.trials.iterdir()):
        return f"{paths.trials} holds checkpoints"
    return None
