"""Checks that only its owner can write to a study's folder, before a resume reads anything in it.

A resume executes what it reads: Optuna stores some samplers as pickles in its database, and the files of Ray and of the
record decide what runs next. So no other user may have write access to them.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import PreflightError

_WRITTEN_FOR_PEOPLE = frozenset({"report"})
"""The program never reads these again."""
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_private(folder: Path) -> None:
    """Raises PreflightError unless this user owns the folder and its direct entries, and no other user can write them.

    A folder that does not exist passes.
    """
    try:
        entries = sorted(path for path in folder.iterdir() if path.name not in _WRITTEN_FOR_PEOPLE)
        found = {folder: folder.lstat()}
        for path in entries:
            # An entry that was replaced or removed after the listing is not read either.
            with suppress(FileNotFoundError):
                found[path] = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise PreflightError(
            f"the study's folder {folder} cannot be read ({error.strerror}); choose another --root or --name."
        ) from None
    for path, facts in found.items():
        if fault := _fault(facts):
            raise PreflightError(
                f"{path} {fault}; a resume executes what a study's files say, so they must belong to its owner alone. "
                f"If you trust them: chown -R {os.geteuid()} {folder} && chmod -R go-w {folder}; else choose another "
                "--name or --root."
            )


def _fault(facts: os.stat_result) -> str | None:
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        return "is a link or a device, and no study holds one"
    if facts.st_uid != os.geteuid():
        return f"belongs to another user (uid {facts.st_uid}, not {os.geteuid()})"
    if facts.st_mode & _OTHERS_MAY_WRITE:
        return f"can be written by other users (mode {stat.S_IMODE(facts.st_mode):o})"
    return None
