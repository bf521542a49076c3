"""The study lock between processes: it refuses a second driver before anything starts; a dead holder frees it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.study.lock import check_free, is_held, study_lock
from orchestrator.study.paths import study_paths
from orchestrator.study.study import open_study
from search_spaces.schema import load_spec
from tests.support.command import aib

SPEC = """
name: one
trial: {model: vgg-aib-qt, dataset: cluttered-digits, epochs: 1, evaluation.occluder_dataset: cluttered-digits}
space: {bottleneck.latent_dim: {choice: [8, 16]}}
trials: 1
registered_model: one
"""
HOLDER = """
import pathlib, sys, time
from orchestrator.study.lock import study_lock
with study_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("resume", [True, False])
def test_a_second_driver_is_refused_with_the_name_of_the_first(tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    paths = study_paths(tmp_path, "one")
    if resume:
        with open_study(load_spec(path, []), paths, False, {}):
            pass
    paths.create()
    with study_lock(paths.folder):
        second = aib(tmp_path, "search", str(path), "--resume")
    assert second.returncode == 3
    assert f"pid {os.getpid()} on " in second.stderr
    assert "--name" in second.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_a_killed_holder_leaves_the_lease_free_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_held(tmp_path)
    with pytest.raises(PreflightError, match=f"pid {holder.pid} on "):
        check_free(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with study_lock(tmp_path):
        assert is_held(tmp_path)
