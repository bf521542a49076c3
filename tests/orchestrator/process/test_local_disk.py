"""Local or network file system, from the system's list of mounts."""

from pathlib import Path

import pytest

from orchestrator.process.machine import is_local_disk

MOUNTS = """\
22 1 0:21 / / rw - ext4 /dev/root rw
30 22 0:40 / /shared rw - nfs4 server:/export rw
31 30 0:41 / /shared/scratch rw - xfs /dev/nvme0 rw
32 22 0:42 / /my\\040disk rw - fuse.sshfs host: rw
"""


@pytest.mark.parametrize(
    ("path", "local"),
    [("/home/me/runs", True), ("/shared/runs", False), ("/shared/scratch/runs", True), ("/my disk/runs", False)],
)
def test_the_nearest_mount_decides(tmp_path: Path, path: str, local: bool) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert is_local_disk(Path(path), tmp_path / "mounts") == local


def test_a_system_without_that_list_counts_as_local(tmp_path: Path) -> None:
    assert is_local_disk(tmp_path, tmp_path / "absent")
