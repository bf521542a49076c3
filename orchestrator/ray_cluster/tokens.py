"""Ray's token authentication: turns it on, keeps the token file private, and checks the token with the head node."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import Config, GcsClient  # type: ignore[attr-defined]  # compiled
from ray.exceptions import AuthenticationError

from orchestrator.errors import PreflightError
from trainables.runtime.atomic_file import create_file

_ELSEWHERE = (
    "set RAY_AUTH_TOKEN_PATH to a file in a folder that this user can write, or HOME to such a folder, or "
    "RAY_AUTH_TOKEN to the token itself."
)


def token_path() -> Path:
    """The file that holds the cluster's token; raises PreflightError where it would lie in a home folder, and this user
    has none."""
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return Path(named)
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError as error:
        raise PreflightError(f"this user has no home folder for Ray's token ({error}); {_ELSEWHERE}") from None


def token_place() -> str:
    """The source of this process's token, for messages."""
    return "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(token_path())


def secure_token(create: bool) -> None:
    """Makes the token file readable by its owner alone; with `create`, writes a new token if there is none.

    Raises PreflightError, which says where else the token may be, for a file that cannot be read or written.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = token_path()
    try:
        if path.exists():
            if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
                path.chmod(0o600)
            path.open("rb").close()
        elif create:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Private from the first byte, which Ray's own writer leaves to the umask. Created whole, because another
            # first run may read it at the same moment.
            create_file(path, secrets.token_hex(32))
    except OSError as error:
        raise PreflightError(
            f"the file of Ray's token, {path}, cannot be used ({error.strerror}); {_ELSEWHERE}"
        ) from None


def require_tokens() -> None:
    """Turns token authentication on for this process."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        os.environ["RAY_AUTH_MODE"] = "token"
        # Ray reads the mode only once, at its import. Without a second read this process and its cluster would
        # disagree.
        Config.initialize("")


def check_token(address: str) -> None:
    """Raises PreflightError at once if the head node rejects our token.

    Ray itself would retry for most of a minute and then report a cluster that does not answer.
    """
    if address.startswith("ray://"):
        return
    try:
        with _silent_core():
            GcsClient(address=canonicalize_bootstrap_address(address))
    except AuthenticationError as error:
        raise PreflightError(
            f"the Ray cluster at {address!r} rejects our token, from {token_place()}; use the head node's token."
        ) from error


@contextmanager
def _silent_core() -> Iterator[None]:
    """Discards what Ray's core writes directly to the process's stderr."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
