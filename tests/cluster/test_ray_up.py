"""The `ray up` file, by Ray's own preparation and validation: no cloud is asked."""

import copy
from typing import Any

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.files import documents


@pytest.fixture
def config() -> dict[str, Any]:
    return documents("ray-cluster.yaml")[0]


def test_ray_accepts_it(config: dict[str, Any]) -> None:
    # Ray fills this in itself before it validates, from files of the laptop.
    prepared = prepare_config(copy.deepcopy(config))
    prepared.setdefault("cluster_synced_files", [])
    validate_config(prepared)


def test_rays_validator_sees_mistakes(config: dict[str, Any]) -> None:
    prepared = prepare_config(copy.deepcopy(config))
    prepared.setdefault("cluster_synced_files", [])
    with pytest.raises(Exception, match="max_workerz"):
        validate_config({**prepared, "max_workerz": 3})


def test_the_head_is_on_demand_and_gpu_workers_are_on_spot(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["resources"] == {"CPU": 0, "GPU": 0}, "trials would run beside the driver"
    assert types
    for worker in types.values():
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


def test_every_ray_start_has_tokens_and_the_dashboard_is_not_public(config: dict[str, Any]) -> None:
    starts = [
        line
        for where in ("head_start_ray_commands", "worker_start_ray_commands")
        for line in config[where]
        if "ray start" in line
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "/home/aib/.ray/auth_token" in config["file_mounts"]
