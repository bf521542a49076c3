"""The search's Optuna study: a SQLite file that Optuna's own tools open, written from what the journal has.

Optuna commits about twenty times a trial, and waiting for the disk each time would be most of what a trial costs the
driver. So SQLite is told not to: a killed process loses nothing by that, and what a crash of the machine may lose or
tear is written anew from the journal, which does wait.
"""

import math
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState as OptunaState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.search.optuna_space import from_params, to_optuna
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import violations
from search_spaces.schema import SearchSpec
from trainables.errors import StorageError

LOCK_WAIT_S = 60.0
"""How long another process, a dashboard or a backup, may keep the file locked before that is an error."""


def trial_name(number: int) -> str:
    """Our own name of the search's trial, the same before and after a resume."""
    return f"t{number:05d}"


def trial_number(record: TrialRecord) -> int:
    """Optuna's number of one of the search's trials."""
    return int(record.trial[1:])


def open_optuna_study(spec: SearchSpec, database: Path) -> optuna.Study:
    """The persistent study, created with its first points or opened as it is."""
    study = _open(spec, database)
    for point in _known_points(spec):
        study.enqueue_trial(point, skip_if_exists=True)
    return study


def is_whole(database: Path) -> bool:
    """Whether SQLite can read every page of the file; sqlite3.OperationalError where it stays locked."""
    connection = sqlite3.connect(database, timeout=LOCK_WAIT_S)
    try:
        return [row[0] for row in connection.execute("PRAGMA quick_check")] == ["ok"]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        return False
    finally:
        connection.close()


def write_study(spec: SearchSpec, database: Path, records: Iterable[TrialRecord]) -> None:
    """A new file with the trials that the records are of, each under its number and running; their ends are told next.

    First points without a record wait in it. Numbers in between that have none, a stranger's trials, have failed.
    """
    study, points, distributions = _open(spec, database), _known_points(spec), to_optuna(spec.space)
    known = {trial_number(record): record for record in records}
    for number in range(max([len(points) - 1, *known]) + 1):
        made: dict[str, Any] = {"state": OptunaState.FAIL}
        if number < len(points):
            made = {"state": OptunaState.WAITING, "system_attrs": {"fixed_params": points[number]}}
        if (record := known.get(number)) is not None:
            params = from_params(spec.space, record.params)
            made |= {"state": OptunaState.RUNNING, "params": params, "distributions": distributions}
        study.add_trial(optuna.trial.create_trial(**made))


def ending(spec: SearchSpec, record: TrialRecord) -> tuple[OptunaState, list[float] | None]:
    """An ended trial's state in Optuna: PRUNED for an early stop, FAIL for a failure or without every objective; its
    values where it is COMPLETE."""
    values = [record.outcome.get(objective.metric, math.nan) for objective in spec.objectives]
    if record.state == "completed" and all(map(math.isfinite, values)):
        return OptunaState.COMPLETE, values
    return (OptunaState.PRUNED if record.state == "stopped" else OptunaState.FAIL), None


def tell(spec: SearchSpec, study: optuna.Study, trial: optuna.trial.Trial, record: TrialRecord) -> None:
    """Tells Optuna how a recorded trial ended, with its constraints and every epoch that Optuna lacks."""
    # What somebody else has ended stays as it is; the next resume finds it.
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        for metrics in record.history:
            report(spec, trial, metrics)
        for name, value in violations(spec, record.outcome).items():
            trial.set_constraint(name, value)
        # What `study.tell` does after it has read the trial twice from the database; no sampler of ours hears of ends.
        study._storage.set_trial_state_values(trial._trial_id, *ending(spec, record))


def report(spec: SearchSpec, trial: optuna.trial.Trial, metrics: Mapping[str, float]) -> None:
    """Tells Optuna the objective after one epoch, once; of several objectives it takes none before the end."""
    epoch = int(metrics["epoch"])
    if len(spec.objectives) == 1 and epoch not in trial._cached_frozen_trial.intermediate_values:
        trial.report(metrics[spec.objectives[0].metric], epoch)


@contextmanager
def locks_explained() -> Iterator[None]:
    """StorageError in place of Optuna's own where the file stays locked, or cannot be written to."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, sqlite3.OperationalError) as error:
        cause = (str(error.__cause__ or error).splitlines() or [""])[0]
        raise StorageError(
            f"the study's optuna.db could not be read or written within {LOCK_WAIT_S:.0f} s ({cause}); "
            "end the process that keeps it locked, or make room on its disk, and continue with --resume."
        ) from error


def _open(spec: SearchSpec, database: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Its owner's alone whatever the umask; SQLite would ask the umask.
    database.touch(mode=0o600)
    storage = RDBStorage(f"sqlite:///{database}", engine_kwargs={"connect_args": {"timeout": LOCK_WAIT_S}})
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    # Connections that were made before.
    storage.engine.dispose()
    study = optuna.create_study(
        storage=storage,
        study_name=spec.name,
        directions=[objective.goal for objective in spec.objectives],
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in spec.objectives])
    return study


def _known_points(spec: SearchSpec) -> list[dict[str, Any]]:
    """The spec's first points as Optuna's; a grid is nothing but known points, in the order of the space's keys."""
    points: list[Mapping[str, Any]] = list(spec.first)
    if spec.sampler.name == "grid":
        axes = [distribution.grid() or () for distribution in spec.space.values()]
        grid = [dict(zip(spec.space, values, strict=True)) for values in product(*axes)]
        points += [point for point in grid if point not in points]
    return [from_params(spec.space, point) for point in points[: spec.trials]]
