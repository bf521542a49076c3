"""Resets a worker process after each trial to its state before the first, so that no trial affects the next."""

import gc
import os
import random
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class ProcessState:
    """Every process-wide setting that a trial, or a library it calls, may change."""

    settings: dict[str, Any]
    environment: dict[str, str]
    folder: str

    @staticmethod
    def capture() -> "ProcessState":
        """The present settings. Objects in memory now (mostly imported modules) are excluded from garbage collection,
        which makes the collections between trials fast."""
        gc.collect()
        gc.freeze()
        return ProcessState(_settings(), dict(os.environ), os.getcwd())

    def restore(self, keep_gpu_memory: bool = False) -> None:
        """Restores every setting, seeds the global generators with a constant, and frees what trials left behind.

        `keep_gpu_memory`: PyTorch's allocator keeps its blocks, so that the next trial's first step need not ask the
        driver for them. For a process that has its GPU to itself.
        """
        for name, value in self.environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        for name in set(os.environ) - set(self.environment):
            del os.environ[name]
        os.chdir(self.folder)
        present = _settings()
        for name, value in self.settings.items():
            # Only changed settings: the setter of the deterministic flag imports the compiler, 1.4 s once per process.
            if present[name] != value:
                _SETTERS[name](value)
        torch.set_flush_denormal(False)
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        dynamo = sys.modules.get("torch._dynamo")
        if dynamo is not None:
            dynamo.reset()
        gc.collect()
        # The survivors are the trial's imports, which the next trial uses.
        gc.freeze()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
            if not keep_gpu_memory:
                torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _settings() -> dict[str, Any]:
    return {
        "num_threads": torch.get_num_threads(),
        "default_dtype": torch.get_default_dtype(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "fill_memory": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]  # a property of the module
        "grad": torch.is_grad_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "autocast": {
            device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in _DEVICES
        },
        "autocast_cache": torch.is_autocast_cache_enabled(),
        "cudnn": {name: getattr(torch.backends.cudnn, name) for name in _CUDNN},
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def _set_autocast(devices: dict[str, tuple[bool, torch.dtype]]) -> None:
    for device, (enabled, dtype) in devices.items():
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)
    torch.clear_autocast_cache()


def _set_cudnn(flags: dict[str, bool]) -> None:
    for name, value in flags.items():
        setattr(torch.backends.cudnn, name, value)


def _set_fill_memory(value: bool) -> None:
    torch.utils.deterministic.fill_uninitialized_memory = value  # type: ignore[attr-defined]  # a property of the module


def _set_matmul_tf32(value: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = value


_DEVICES = ("cpu", "cuda")
_CUDNN = ("enabled", "benchmark", "deterministic", "allow_tf32")
_SETTERS: dict[str, Any] = {
    "num_threads": torch.set_num_threads,
    "default_dtype": torch.set_default_dtype,
    "deterministic": lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    "fill_memory": _set_fill_memory,
    "grad": torch.set_grad_enabled,
    "anomaly": torch.autograd.set_detect_anomaly,
    "autocast": _set_autocast,
    "autocast_cache": torch.set_autocast_cache_enabled,
    "cudnn": _set_cudnn,
    "matmul_tf32": _set_matmul_tf32,
}
