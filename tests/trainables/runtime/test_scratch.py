"""Scratch folders are removed at the end; others keep them while their owner lives, and remove them once it is dead."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.images import parquet_folder
from trainables.data.arrow_store import list_prepared
from trainables.data.prepare import prepare
from trainables.runtime.scratch import PREFIX, scratch_folder

HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom trainables.runtime.scratch import scratch_folder\n"
    "with scratch_folder(Path(sys.argv[1]), 'held') as folder:\n"
    "    (folder / 'large').write_bytes(b'0' * 1000)\n    print('held', flush=True)\n    time.sleep(60)"
)


def leftovers(root: Path) -> list[Path]:
    return list(root.glob(f"{PREFIX}*"))


def test_folder_and_a_root_made_for_it_are_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "data", "toy") as folder:
        assert folder.parent == tmp_path / "data"
    assert not (tmp_path / "data").exists()


def test_root_that_was_there_or_was_filled_stays(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "toy"):
        pass
    with scratch_folder(tmp_path / "data", "toy") as folder:
        (folder.parent / "made").touch()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["made"]


def test_folder_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), scratch_folder(tmp_path, "toy") as folder:
        (folder / "absent/half").touch()
    assert leftovers(tmp_path) == []


def test_living_owner_keeps_its_folder_and_a_killed_ones_is_cleared(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        (held,) = leftovers(tmp_path)
        with scratch_folder(tmp_path, "other"):
            assert (held / "large").exists()
        process.send_signal(signal.SIGKILL)
    assert leftovers(tmp_path) == [held]
    prepare("pets", tmp_path, 8, parquet_folder(tmp_path / "in"))
    assert leftovers(tmp_path) == []
    assert [meta.name for meta in list_prepared(tmp_path)] == ["pets"]


def test_leftover_without_a_lock_is_cleared(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}old-abc/made").mkdir(parents=True)
    with scratch_folder(tmp_path, "toy") as folder:
        assert leftovers(tmp_path) == [folder]
