"""The cache folder on this node's own disk: copies of prepared data, and checkpoints during upload and download.

Everything in it can be made again. AIB_CACHE names it on each node; by default it is in the system's temporary folder.
"""

import os
import tempfile
from pathlib import Path

from trainables.errors import ConfigError

CACHE_VARIABLE = "AIB_CACHE"


def node_cache() -> Path:
    """Creates the folder for its owner alone; ConfigError where that fails, or another user owns or may write it."""
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
