"""Whether a study's folder is its owner's alone, asked before anything in it is read to go on from it.

Going on executes what is read: Optuna keeps the state of some samplers as pickles in its database, and Ray's and the
record's files decide what runs next. So nobody but the user who resumes may have been able to write them.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import PreflightError

_WRITTEN_FOR_PEOPLE = frozenset({"report"})
"""Never read again by the program."""
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_private(folder: Path) -> None:
    """PreflightError unless a folder and what lies directly in it is this user's, and written by nobody else.

    Nothing is asked of a folder that is not there.
    """
    try:
        entries = sorted(path for path in folder.iterdir() if path.name not in _WRITTEN_FOR_PEOPLE)
        found = {folder: folder.lstat()}
        for path in entries:
            # A file that a write put in another's place, or removed, since the folder was listed is read by nobody.
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
                f"{path} {fault}; going on with a study runs what its files say, so it reads its owner's files only. "
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
