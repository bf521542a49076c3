"""One holder per lock; asking for it neither takes it nor creates the file."""

import os
import stat
from pathlib import Path

import pytest

from trainables.runtime.file_lock import is_locked, open_lock_file, open_locked, take_lock


def test_a_lock_has_one_holder_and_ends_with_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = open_locked(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_locked(path)
    with pytest.raises(BlockingIOError):
        open_locked(path)
    other = open_lock_file(path)
    with pytest.raises(BlockingIOError):
        take_lock(other)
    os.close(held)
    assert not is_locked(path)
    take_lock(other)
    assert is_locked(path)
    os.close(other)


def test_a_missing_file_is_not_locked_and_not_created(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []
