"""Marks of storage checks: a killed check leaves its mark, which is told from the mark of a check that runs."""

import subprocess
import sys
from pathlib import Path

from orchestrator.checks.storage_probe import FolderMarks, abandoned_marks, remove_mark


def test_marks_of_killed_checks_are_told_from_those_of_living_ones(tmp_path: Path) -> None:
    holder = (
        "import sys, time\nfrom pathlib import Path\nfrom orchestrator.checks.storage_probe import FolderMarks\n"
        "with FolderMarks(Path(sys.argv[1])).marked('driver') as name:\n    print(name, flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        mark = tmp_path / process.stdout.readline().strip()
        assert FolderMarks(tmp_path).read(mark.name) == mark.name
        assert abandoned_marks(tmp_path) == []
        remove_mark(mark)
        assert mark.exists(), "its writer lives"
        process.kill()
    assert abandoned_marks(tmp_path) == [mark]
    remove_mark(mark)
    assert list(tmp_path.iterdir()) == []
