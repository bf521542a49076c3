"""The private folder of this user's local Ray clusters: their sockets, logs and spilled objects.

Ray's own default, /tmp/ray, is open to every user of the machine.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from orchestrator.errors import PreflightError

FOLDER_PREFIX = "aib-ray-"
KEPT_SESSIONS = 5
SOCKET_PATH_BYTES = 107
"""The longest path of a Unix socket on Linux."""
LONGEST_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


def ray_folder() -> Path:
    """Makes the folder, mode 0700, and removes all but the newest sessions of ended clusters.

    It lies in the temporary folder, or in /tmp where that path is too long for Ray's sockets. Raises PreflightError if
    another user owns it.
    """
    places = [Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute(), Path("/tmp")]
    folder = next((place for place in places if _fits(place)), places[-1]) / f"{FOLDER_PREFIX}{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
            raise PreflightError(
                f"{folder}, where Ray keeps its sockets and logs, belongs to another user (uid {found.st_uid}); "
                "set TMPDIR to a folder of your own."
            )
        folder.chmod(0o700)
    except OSError as error:
        raise PreflightError(
            f"{folder}, where Ray keeps its sockets and logs, cannot be written ({error.strerror}); set TMPDIR to "
            "another folder."
        ) from error
    # Ray opens the folder that it gets to everybody.
    inner = folder / "ray"
    _remove_old_sessions(inner)
    return inner


def _fits(place: Path) -> bool:
    return len(os.fsencode(f"{place}/{FOLDER_PREFIX}{os.getuid()}/ray{LONGEST_SOCKET}")) <= SOCKET_PATH_BYTES


def _remove_old_sessions(folder: Path) -> None:
    sessions = sorted(path for path in folder.glob("session_2*") if path.is_dir())
    for session in sessions[:-KEPT_SESSIONS]:
        try:
            handle = os.open(session, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(session, ignore_errors=True)
        except BlockingIOError:
            # Its cluster runs.
            continue
        finally:
            os.close(handle)
