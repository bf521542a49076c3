"""The folder for copies on this node's own disk: of prepared data, and of checkpoints on their way.

Everything in it can be made again. AIB_CACHE names it, node by node; else it is in the system's temporary folder.
"""

import os
import tempfile
from pathlib import Path

from trainables.errors import ConfigError

CACHE_VARIABLE = "AIB_CACHE"


def node_cache() -> Path:
    """The folder, made for its owner alone; ConfigError where it cannot be made or is somebody else's to write."""
    chosen = os.environ.get(CACHE_VARIABLE)
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"aib-cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat(follow_symlinks=bool(chosen))
    except OSError as error:
        raise ConfigError(
            f"the node's cache {folder} cannot be made ({error.strerror}); set {CACHE_VARIABLE} to a folder on a disk "
            "of this node."
        ) from None
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ConfigError(
            f"the node's cache {folder} belongs to another user or can be written by one; set {CACHE_VARIABLE} to a "
            "folder of your own."
        )
    return folder.resolve()
