"""A disk that is full for a while: a small file system of the test's own, or a limit on the size of files."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

KINDS = ("tmpfs", "limit")


@dataclass(frozen=True)
class SmallDisk:
    path: Path
    full: Callable[[], AbstractContextManager[None]]
    """Nothing more can be written inside the block."""


@contextmanager
def small_disk(kind: str, path: Path, megabytes: int = 16) -> Iterator[SmallDisk]:
    """Skips the test where this user may not mount; the limit needs no rights, and gives EFBIG in ENOSPC's place."""
    path.mkdir()
    if kind == "limit":
        yield SmallDisk(path, _limited)
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        yield SmallDisk(path, lambda: _filled(path))
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def _filled(path: Path) -> Iterator[None]:
    ballast = path / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    yield
    ballast.unlink()


@contextmanager
def _limited() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
