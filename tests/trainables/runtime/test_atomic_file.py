"""A reader finds the old or the new file; the first of two creators wins; an error leaves nothing behind."""

import os
import stat
from pathlib import Path

import pytest

from trainables.runtime import atomic_file
from trainables.runtime.atomic_file import create_file, folder_beside, replace_file, replacing_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_file_is_replaced_with_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    path, aside = tmp_path / "study.json", tmp_path / "study.tmp"
    replace_file(path, "a\nß", aside=aside)
    assert (path.read_bytes(), mode(path)) == ("a\nß".encode(), 0o644)
    replace_file(path, "b", aside=aside, mode=0o600, durable=True)
    assert (path.read_text(), mode(path)) == ("b", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_file_is_on_the_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            atomic_file.os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1]
        )
    replace_file(tmp_path / "a", "a", aside=tmp_path / "a.tmp", durable=True)
    replace_file(tmp_path / "b", "b", aside=tmp_path / "b.tmp")
    assert calls == ["fsync", "replace", "replace"]


def test_an_error_keeps_the_former_file_and_removes_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("old")
    with pytest.raises(TypeError), replacing_file(path, aside=tmp_path / "aside") as file:
        file.writelines([b"half", "not bytes"])  # type: ignore[list-item]
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_the_first_creator_wins(tmp_path: Path) -> None:
    path = tmp_path / "token"
    create_file(path, "first")
    create_file(path, "second")
    assert (path.read_text(), mode(path)) == ("first", 0o600)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("renamed", [True, False])
def test_a_folder_that_was_not_renamed_is_removed(tmp_path: Path, renamed: bool) -> None:
    folder = tmp_path / "new" / "epoch_000001"
    with folder_beside(folder, mode=0o700) as aside:
        assert mode(aside) == 0o700
        assert aside.name.startswith(".epoch_000001.")
        (aside / "weights").touch()
        if renamed:
            aside.rename(folder)
    assert [path.name for path in folder.parent.iterdir()] == (["epoch_000001"] if renamed else [])
