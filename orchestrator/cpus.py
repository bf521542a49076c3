"""How many CPUs a local cluster would have here. Ray counts so on a node that it starts; to ask it takes seconds."""

import os
from pathlib import Path


def usable_cpus(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The machine's, or the whole ones of a container's quota (version 1 or 2) or set of CPUs (version 1)."""

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
