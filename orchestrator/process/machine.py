"""This machine: the number of CPUs for a local cluster, and whether a folder is on a local disk."""

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
LOCAL = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""File systems on local disks. All others, such as NFS, CephFS, Lustre and FUSE, may be on a network."""


def usable_cpus(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Counts the CPUs of a local cluster as Ray counts them; asking Ray itself takes seconds.

    A container has the CPUs of its quota, rounded down (cgroups 1 or 2), or of its CPU set (cgroups 1).
    """

    def words(name: str) -> list[str]:
        try:
            return (groups / name).read_text(encoding="ascii").split()
        except OSError:
            return []

    limits: list[float] = []
    quota = [*words("cpu/cpu.cfs_quota_us"), *words("cpu/cpu.cfs_period_us")] or words("cpu.max")
    if len(quota) == 2 and quota[0].isdecimal():  # neither "max" nor -1
        limits.append(int(quota[0]) / int(quota[1]))
    for cpus in words("cpuset/cpuset.cpus"):
        ranges = [part.partition("-") for part in cpus.split(",")]
        limits.append(sum(int(last or first) - int(first) + 1 for first, _, last in ranges))
    return int(min(limits, default=os.cpu_count() or 1))


def is_local_disk(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether the nearest mount above the path is local; True if the system does not list its mounts."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return True
    found = (0, "ext4")
    for line in lines:
        before, _, after = line.partition(" - ")
        # The list writes spaces in a path in octal.
        mounted = Path(before.split()[4].replace("\\040", " "))
        if path.resolve().is_relative_to(mounted) and len(mounted.parts) >= found[0]:
            found = (len(mounted.parts), after.split()[0])
    return found[1] in LOCAL
