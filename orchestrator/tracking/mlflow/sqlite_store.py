"""A store in a SQLite file, which keeps its artifacts in the folder `artifacts` beside the file.

MLflow stores every artifact location as an absolute address. After the folder has been moved or copied, these addresses
still begin with its former place. `follow_move` corrects them in the database, `present_location` while they are read.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from orchestrator.errors import PreflightError
from orchestrator.study.lock import is_held

ARTIFACTS = "artifacts"
LOCK_WAIT_S = 20.0
"""How long MLflow waits for another process that has the database locked."""
READER_WAIT_S = 1.0
_LOCATIONS = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns that hold locations below an experiment's."""


class _Move(NamedTuple):
    """An experiment whose artifacts have another place than their recorded one; both are folders' URIs."""

    experiment_id: int
    name: str
    recorded: str
    present: str


def database_file(tracking_uri: str) -> Path | None:
    """The file of a SQLite database, None for another store; three slashes precede a relative path, four an absolute
    one."""
    scheme, _, rest = tracking_uri.partition(":///")
    file = rest.partition("?")[0]
    return Path(file) if file and scheme.partition("+")[0] == "sqlite" else None


def make_database(file: Path) -> None:
    """Creates the file, empty, unless it exists; raises PreflightError where it cannot be opened."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise _unopened(file, error) from error
    check_database(file)


def check_database(file: Path) -> None:
    """Raises PreflightError for a file that SQLite cannot open; without the check MLflow would try for a minute."""
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file, timeout=5)) as database:
            database.execute("PRAGMA user_version")
    except sqlite3.Error as error:
        raise _unopened(file, error) from error


def _unopened(file: Path, error: Exception) -> PreflightError:
    return PreflightError(
        f"the tracking database {file} cannot be opened: {error}. Restore it from a copy or move it away, or choose "
        "another --root or --tracking-uri."
    )


def follow_move(file: Path, own_study: str | None = None) -> None:
    """Records the present locations of artifacts in the database, so that MLflow's own programs find them too.

    Leaves out an experiment while a driver runs its study: the driver may reach the same folder by another path. The
    driver itself names its own study. Raises sqlite3.Error where the database cannot be read or written.
    """
    with _open(file, "rw", LOCK_WAIT_S) as database:
        _follow(database, file, own_study)


def follow_move_if_possible(file: Path) -> None:
    """`follow_move` for a process that only reads: a database that is locked, or may not be written, stays as it is."""
    with suppress(sqlite3.Error, OSError), _open(file, "rw", READER_WAIT_S) as database:
        _follow(database, file, None)


def present_location(file: Path, location: str) -> str:
    """Returns where the artifacts with this recorded location are now."""
    # MLflow has just read the location; a database that cannot be read now changes nothing.
    with suppress(sqlite3.Error), _open(file, "ro", LOCK_WAIT_S) as database:
        for move in _moves(database, file):
            if location.startswith(f"{move.recorded}/"):
                return move.present + location.removeprefix(move.recorded)
    return location


def _follow(database: sqlite3.Connection, file: Path, own_study: str | None) -> None:
    moves = [
        move
        for move in _moves(database, file)
        if move.name == own_study or not _may_run(file.parent / "studies" / move.name)
    ]
    if moves:
        database.execute("BEGIN IMMEDIATE")
        for move in moves:
            _apply(database, move)
        database.execute("COMMIT")


def _may_run(study: Path) -> bool:
    """Whether a driver runs the study, or this account cannot see it."""
    try:
        return is_held(study)
    except OSError:
        return True


@contextmanager
def _open(file: Path, mode: str, lock_wait_s: float) -> Iterator[sqlite3.Connection]:
    uri = f"{file.resolve().as_uri()}?mode={mode}"
    # isolation_level=None: this module begins and ends transactions.
    with closing(sqlite3.connect(uri, uri=True, timeout=lock_wait_s, isolation_level=None)) as database:
        yield database


def _moves(database: sqlite3.Connection, file: Path) -> list[_Move]:
    """The experiments of which `ANOTHER_FOLDER/artifacts/NAME` is recorded; a location of another form stays."""
    here, found = file.resolve().parent.as_uri(), []
    for experiment_id, name, recorded in database.execute(
        "SELECT experiment_id, name, artifact_location FROM experiments WHERE artifact_location LIKE 'file:///%'"
    ):
        below = f"/{ARTIFACTS}/{quote(name)}"
        if recorded.endswith(below) and recorded != here + below:
            found.append(_Move(experiment_id, name, recorded, here + below))
    return found


def _apply(database: sqlite3.Connection, move: _Move) -> None:
    database.execute(
        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (move.present, move.experiment_id)
    )
    below = f"{move.recorded}/"
    for table, column in _LOCATIONS:
        change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"
        database.execute(change, (f"{move.present}/", len(below) + 1, len(below), below))
