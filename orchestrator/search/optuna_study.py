"""The search's Optuna study: a SQLite file that Optuna's own tools can open, kept equal to the journal.

Optuna commits about twenty times per trial; waiting for the disk each time would be most of the driver's cost per
trial. So SQLite does not wait. A killed process loses nothing; after a crash of the machine the file is written again
from the journal, which does wait for the disk.
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
from orchestrator.study.sqlite_address import sqlite_address
from search_spaces.schema import SearchSpec
from trainables.errors import StorageError

LOCK_WAIT_S = 60.0
"""How long another process, such as a dashboard or a backup, may lock the file before it is an error."""


def trial_name(number: int) -> str:
    """Returns our name of the search's trial; it stays the same across resumes."""
    return f"t{number:05d}"


def trial_number(record: TrialRecord) -> int:
    """Returns Optuna's number of a trial of the search."""
    return int(record.trial[1:])


def open_optuna_study(spec: SearchSpec, database: Path) -> optuna.Study:
    """Opens the stored study, or creates it with the spec's first points."""
    study = _open(spec, database)
    for point in _known_points(spec):
        study.enqueue_trial(point, skip_if_exists=True)
    return study


def is_whole(database: Path) -> bool:
    """Returns whether SQLite can read every page of the file; raises sqlite3.OperationalError while it is locked."""
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
    """Writes a new file with the recorded trials, under their numbers and as running; the caller adds their ends.

    First points without a record are enqueued. Numbers without a record were another program's trials; they are FAIL.
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
    """Returns an ended trial's state in Optuna, with its values where the state is COMPLETE.

    An early stop is PRUNED; a failure, or a missing objective, is FAIL.
    """
    values = [record.outcome.get(objective.metric, math.nan) for objective in spec.objectives]
    if record.state == "completed" and all(map(math.isfinite, values)):
        return OptunaState.COMPLETE, values
    return (OptunaState.PRUNED if record.state == "stopped" else OptunaState.FAIL), None


def tell(spec: SearchSpec, study: optuna.Study, trial: optuna.trial.Trial, record: TrialRecord) -> None:
    """Stores in Optuna how a recorded trial ended, with its constraints and every epoch that Optuna lacks."""
    # A trial that another program ended stays as it is; the next resume finds it.
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        for metrics in record.history:
            report(spec, trial, metrics)
        for name, value in violations(spec, record.outcome).items():
            trial.set_constraint(name, value)
        # As `study.tell` does, without reading the trial twice from the database; our samplers need no call at the end.
        study._storage.set_trial_state_values(trial._trial_id, *ending(spec, record))


def report(spec: SearchSpec, trial: optuna.trial.Trial, metrics: Mapping[str, float]) -> None:
    """Reports the objective of one epoch to Optuna once; with several objectives Optuna takes none before the end."""
    epoch = int(metrics["epoch"])
    if len(spec.objectives) == 1 and epoch not in trial._cached_frozen_trial.intermediate_values:
        trial.report(metrics[spec.objectives[0].metric], epoch)


@contextmanager
def locks_explained() -> Iterator[None]:
    """Turns Optuna's error into StorageError where the file stays locked or cannot be written."""
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
    # For its owner alone whatever the umask, which SQLite would use.
    database.touch(mode=0o600)
    storage = RDBStorage(sqlite_address(database), engine_kwargs={"connect_args": {"timeout": LOCK_WAIT_S}})
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    # Connections made before the listener.
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
    """Returns the spec's first points for Optuna; a grid consists of such points, in the order of the space's keys."""
    points: list[Mapping[str, Any]] = list(spec.first)
    if spec.sampler.name == "grid":
        axes = [distribution.grid() or () for distribution in spec.space.values()]
        grid = [dict(zip(spec.space, values, strict=True)) for values in product(*axes)]
        points += [point for point in grid if point not in points]
    return [from_params(spec.space, point) for point in points[: spec.trials]]
