"""The loss of a cluster that the driver joined, and errors that are its result."""

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from orchestrator.ray_cluster.loss import Loss
from tests.support.ray_head import ray_head
from tests.support.repository import ROOT

DRIVER = """
import sys, time
from orchestrator.ray_cluster.connection import connect
with connect(sys.argv[1]):
    print("joined", flush=True)
    time.sleep(600)
"""


@pytest.mark.ray
@pytest.mark.minutes
@pytest.mark.parametrize("part", ["raylet", "gcs_server"])
def test_a_joined_cluster_whose_raylet_dies_is_named(part: str, tmp_path: Path) -> None:
    with ray_head(num_cpus=1) as head, (tmp_path / "log").open("w") as err:
        command = [sys.executable, "-c", DRIVER, head.gcs]
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, cwd=ROOT, env=head.environment())
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline(), (tmp_path / "log").read_text()
            for process in psutil.process_iter(["cmdline"]):
                command_line = " ".join(process.info["cmdline"] or [])
                if f"{part}/" in command_line.split(" ")[0] + "/" and str(head.folder) in command_line:
                    process.kill()
            assert driver.wait(90) == 1
        finally:
            driver.kill()
            driver.wait()
    said = (tmp_path / "log").read_text()
    assert ("raylet on this machine has died" if part == "raylet" else "has not answered for 50 s") in said
    assert "Traceback" not in said


def test_an_error_waits_for_the_loss_that_it_is_a_result_of() -> None:
    handled: list[str] = []
    loss = Loss(handled.append)
    threading.Timer(0.5, loss.declare, ["the raylet has died."]).start()
    with pytest.raises(RuntimeError), loss.explains_errors():
        raise RuntimeError("the connection is closed")
    assert handled == ["the raylet has died."]


def test_a_loss_is_declared_once() -> None:
    handled: list[str] = []
    loss = Loss(handled.append)
    loss.declare("the raylet has died.")
    loss.declare("the head has died.")
    assert handled == ["the raylet has died."]
