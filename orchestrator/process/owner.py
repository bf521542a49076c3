"""Who runs this process, for the other users of a cluster."""

import getpass
import os
import socket

OWNER = "AIB_OWNER"
"""Names the owner where the account says nothing, as in a Ray job; `aib submit` sends the submitter's."""


def owner() -> str:
    """USER@HOST of this process, or what AIB_OWNER says."""
    return os.environ.get(OWNER) or f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container under a numeric user without a name.
        return f"uid{os.getuid()}"
