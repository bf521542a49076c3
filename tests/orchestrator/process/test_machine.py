"""The CPUs of a container are counted as Ray counts them."""

import os
from pathlib import Path

import pytest
from ray._private import utils

from orchestrator.process.machine import usable_cpus


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "350000 100000"}, 3),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpuset/cpuset.cpus": "0-3,7"}, 5),
        ({"cpuset/cpuset.cpus": "0-3,7", "cpu.max": "200000 100000"}, 2),
        ({"cpuset/cpuset.cpus": ""}, None),
    ],
)
def test_a_containers_limit_is_what_ray_will_offer(
    tmp_path: Path, files: dict[str, str], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    found = usable_cpus(tmp_path)
    assert found == (expected or os.cpu_count())
    names = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpuset/cpuset.cpus", "cpu.max")
    counted = utils._get_docker_cpus(*(str(tmp_path / name) for name in names))
    monkeypatch.setattr(utils, "_get_docker_cpus", lambda: counted)
    assert found == utils.get_num_cpus()


def test_this_machine_is_counted_as_ray_counts_it() -> None:
    assert usable_cpus() == utils.get_num_cpus()
