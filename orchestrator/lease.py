"""One driver a study: an exclusive lock on a file in the study's folder, gone with the process that holds it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import PreflightError


@contextmanager
def study_lease(folder: Path) -> Iterator[None]:
    """Holds the study for this process; PreflightError while another one does."""
    path = folder / "lease"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 100).decode(errors="replace").strip()
            raise PreflightError(
                f"the study in {folder} is being run by another process ({owner}); wait for it, stop it, "
                "or give this search another name with --name."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()}".encode())
        yield
    finally:
        os.close(descriptor)
