"""Settings that one trial leaves behind in a process do not reach the next."""

import os
import random
from pathlib import Path

import numpy as np
import torch

from orchestrator.slots.process_reset import ProcessState


def _present() -> dict[str, object]:
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "fill_memory": torch.utils.deterministic.fill_uninitialized_memory,
        "grad": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast_dtype": torch.get_autocast_dtype("cpu"),
        "anomaly": torch.is_anomaly_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "denormal": (torch.tensor([2e-38], dtype=torch.float32) / 10).item() != 0,
    }


def test_restore_undoes_every_setting(tmp_path: Path) -> None:
    state, before = ProcessState.capture(), _present()
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled())
    torch.utils.deterministic.fill_uninitialized_memory = not torch.utils.deterministic.fill_uninitialized_memory
    torch.set_grad_enabled(False)
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.autograd.set_detect_anomaly(True)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic = not torch.backends.cudnn.deterministic
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = not torch.backends.cuda.matmul.allow_tf32
    os.chdir(tmp_path)
    os.environ["LEFT_BEHIND"] = "1"
    path = os.environ.pop("PATH")
    changed = _present()
    os.environ["PATH"] = path + ":elsewhere"
    try:
        assert [name for name in before if changed[name] == before[name]] == [], (
            "the test changes every setting that it checks"
        )
    finally:
        state.restore()
    assert _present() == before


def test_global_generators_start_every_trial_alike() -> None:
    state = ProcessState.capture()
    drawn = []
    for _ in range(2):
        state.restore()
        drawn.append((torch.rand(1).item(), random.random(), float(np.random.rand())))
    assert drawn[0] == drawn[1]
