"""Whether a folder is on a disk of this machine."""

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
LOCAL = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""Kinds of file systems that are; NFS, CephFS, Lustre, FUSE and all others may be reached over a network."""


def is_local_disk(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether the nearest mount above a path is local; True where the system does not list its mounts."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return True
    found = (0, "ext4")
    for line in lines:
        before, _, after = line.partition(" - ")
        # Spaces in a mount's path are written in octal.
        mounted = Path(before.split()[4].replace("\\040", " "))
        if path.resolve().is_relative_to(mounted) and len(mounted.parts) >= found[0]:
            found = (len(mounted.parts), after.split()[0])
    return found[1] in LOCAL
