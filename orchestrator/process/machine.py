"""This machine: how many CPUs a local cluster has, and whether a folder is on a local disk."""

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
LOCAL = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""Kinds of file systems that are; NFS, CephFS, Lustre, FUSE and all others may be reached over a network."""


def usable_cpus(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The CPUs that a local cluster would have, counted as Ray counts them; asking Ray itself takes seconds.

    A container has the whole CPUs of its quota (cgroups 1 or 2) or of its CPU set (cgroups 1).
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
