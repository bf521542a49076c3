"""Starts Ray from a folder without modules of the user: Ray lets every worker import from the driver's folder first."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator.process.code_version import checkout_root
from trainables.runtime.node_cache import CACHE_VARIABLE


@contextlib.contextmanager
def neutral_folder() -> Iterator[None]:
    """Changes to the checkout, or to Python's own folder, while the block runs.

    A `random.py` or `ray.py` in the user's folder would otherwise replace the module of that name in all of Ray's
    processes.
    """
    # A relative path would mean another folder in the processes that start here.
    if chosen := os.environ.get(CACHE_VARIABLE):
        os.environ[CACHE_VARIABLE] = os.path.abspath(chosen)
    with contextlib.chdir(checkout_root() or Path(sys.executable).parent):
        yield
