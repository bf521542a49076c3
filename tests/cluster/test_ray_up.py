"""The `ray up` file passes Ray's own preparation and validation, without a cloud."""

import copy
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.support.cluster_files import TEXT, documents


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


def test_shells_of_the_head_know_the_tracking_server_and_its_account(config: dict[str, Any], tmp_path: Path) -> None:
    """Bash runs the set-up twice, then a shell as Ray starts it for every command."""
    assert config["file_mounts"]["/home/aib/.aib.env"] == "~/.aib.env"
    told = {"MLFLOW_TRACKING_URI": "https://mlflow.example.org", "MLFLOW_TRACKING_USERNAME": "ann"}
    told["MLFLOW_TRACKING_PASSWORD"] = "a pass$word"
    lines = TEXT["cluster/ray-up.env.example"].splitlines()
    assert {line.partition("=")[0] for line in lines if not line.startswith("#")} == {*told}
    (tmp_path / ".aib.env").write_text("".join(f"{name}='{value}'\n" for name, value in told.items()))
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    for command in [*config["head_setup_commands"], *config["head_setup_commands"]]:
        subprocess.run(["bash", "-c", command], env=home, check=True)
    shell = ["bash", "--login", "-c", "-i", "source ~/.bashrc; (env)"]
    shown = subprocess.run(shell, env=home, capture_output=True, text=True, check=True, start_new_session=True).stdout
    assert {f"{name}={value}" for name, value in told.items()} <= set(shown.splitlines())
    assert (tmp_path / ".bashrc").read_text().count("aib.env") == 1
    assert (tmp_path / ".aib.env").stat().st_mode & 0o777 == 0o600
