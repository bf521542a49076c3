"""Brings Optuna's study into agreement with the journal after a loss; the journal is the source of truth.

Every function is idempotent.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import TrialState as OptunaState
from sqlalchemy.exc import OperationalError

from orchestrator.errors import first_line
from orchestrator.search.optuna_space import from_params
from orchestrator.search.optuna_study import (
    ending,
    is_whole,
    locks_explained,
    open_optuna_study,
    tell,
    trial_name,
    trial_number,
    write_study,
)
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import violations
from search_spaces.schema import SearchSpec

logger = logging.getLogger(__name__)


def reconcile_optuna(spec: SearchSpec, database: Path, records: Sequence[TrialRecord]) -> optuna.Study:
    """Returns the search's Optuna study with every recorded trial under its number, and every end.

    A file that is lost, damaged, or that contradicts the journal is written again; the former file stays beside it. A
    trial that runs in Optuna but not in the journal is a suggestion that a kill cut short; the searcher completes it.
    """
    with locks_explained():
        wrong = _wrong(spec, database, records)
        if wrong:
            logger.warning("%s is written again from the journal: %s", database, wrong)
            _write_anew(spec, database, records)
        study = open_optuna_study(spec, database)
        trials = study.get_trials(deepcopy=False)
        for record in records:
            known = trials[trial_number(record)]
            if record.state != "running" and not known.state.is_finished():
                tell(spec, study, optuna.trial.Trial(study, known._trial_id), record)
        return study


def reap(study: optuna.Study, records: Sequence[TrialRecord]) -> None:
    """At the search's end, fails the trials that run in Optuna but not in the journal.

    Another program, or a driver that died, asked for them.
    """
    running = {record.trial for record in records if record.state == "running"}
    for trial in study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
        if trial_name(trial.number) not in running:
            study.tell(trial.number, state=OptunaState.FAIL, skip_if_finished=True)


def _wrong(spec: SearchSpec, database: Path, records: Sequence[TrialRecord]) -> str:
    """Returns why Optuna's study cannot be continued; empty where it can."""
    if not database.exists():
        return "it is not there" if records else ""
    if not is_whole(database):
        return "it is damaged"
    try:
        trials = open_optuna_study(spec, database).get_trials(deepcopy=False)
    except (RuntimeError, AssertionError, KeyError, TypeError, ValueError) as error:
        return f"this version of Optuna cannot read it ({first_line(error)})"
    except (optuna.exceptions.StorageInternalError, OperationalError) as error:
        if "no such" not in f"{error} {error.__cause__}":
            raise
        return "it lacks a table or a column of this version of Optuna"
    # Without a record, the searcher takes over whatever Optuna has.
    for record in records:
        if (number := trial_number(record)) >= len(trials):
            return f"{record.trial} is not in it"
        trial = trials[number]
        if trial.params != from_params(spec.space, record.params):
            return f"{record.trial} has {trial.params} in it"
        if trial.state.is_finished() and (record.state == "running" or trial.state != ending(spec, record)[0]):
            return f"{record.trial} is {record.state} and in it {trial.state.name}"
        if strange := trial.constraints.keys() - violations(spec, record.outcome).keys():
            # Earlier versions named a constraint by its metric alone, so of two on one metric they kept one.
            return f"{record.trial} has the constraint '{min(strange)}' in it"
    return ""


def _write_anew(spec: SearchSpec, database: Path, records: Sequence[TrialRecord]) -> None:
    """Writes the new file beside the former one, then moves it into place; a kill leaves one of the two, or none."""
    aside = database.with_name(f"{database.name}.new")
    for path in (aside, _rollback(aside)):
        path.unlink(missing_ok=True)
    write_study(spec, aside, records)
    if database.exists():
        os.replace(database, database.with_name(f"{database.name}.replaced"))
    # SQLite would roll the new file back to the content of an old rollback journal.
    _rollback(database).unlink(missing_ok=True)
    os.replace(aside, database)


def _rollback(database: Path) -> Path:
    return database.with_name(f"{database.name}-journal")
