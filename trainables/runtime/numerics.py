"""A trial's numeric settings for the whole process, and the fingerprint that two bit-equal runs must share.

`apply` sets every flag to an absolute value, so that no setting of an earlier trial in the same process survives.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import nn

from trainables.config.trial import TrialConfig
from trainables.runtime.allocator import keep_freed_memory
from trainables.runtime.runtime import Runtime

Model = TypeVar("Model", bound=nn.Module)


def apply(config: TrialConfig, device: torch.device) -> None:
    """Sets the trial's threads, determinism and TF32 for this process; on the CPU also how memory is allocated."""
    numerics = config.numerics
    torch.set_num_threads(numerics.num_threads)
    torch.set_default_dtype(torch.float32)
    torch.backends.cudnn.benchmark = not numerics.deterministic
    torch.backends.cudnn.allow_tf32 = numerics.tf32
    torch.backends.cuda.matmul.allow_tf32 = numerics.tf32
    if device.type == "cuda":
        # cuBLAS is deterministic only with a fixed workspace. torch reads this variable once in a process, at the first
        # matrix product, so it must be set even if only a later trial is deterministic.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(numerics.deterministic)
    # No code here reads unwritten memory, so filling it in deterministic mode would cost time and change no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module
    if device.type == "cpu":
        keep_freed_memory()


def autocast(config: TrialConfig, device: torch.device) -> torch.autocast:
    """bf16 autocast if the trial's precision is bf16; a no-op otherwise."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.numerics.precision == "bf16")


def place(model: Model, config: TrialConfig, device: torch.device) -> Model:
    """Moves the model to a device, in the trial's memory format."""
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if config.numerics.channels_last else model


@contextmanager
def untuned() -> Iterator[None]:
    """Lets cuDNN choose algorithms by heuristics, for batches of ever new sizes.

    Otherwise it would time all algorithms for each new size.
    """
    tune = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = tune


def uncompiled() -> AbstractContextManager[object]:
    """Runs compiled models without compilation, for batches of an unusual size: builds no graph for them."""
    # Importing the compiler takes seconds. If it is not imported yet, nothing is compiled.
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def fingerprint(config: TrialConfig, runtime: Runtime) -> dict[str, str | int | bool]:
    """What two runs must share to be bit-equal: settings, world size, versions, CPU or accelerator."""
    on_gpu = runtime.device.type == "cuda"
    facts: dict[str, str | int | bool] = {
        "precision": config.numerics.precision,
        "num_threads": config.numerics.num_threads,
        "channels_last": config.numerics.channels_last,
        "compile": config.numerics.compile,
        "deterministic": config.numerics.deterministic,
        "tf32": config.numerics.tf32,
        "world_size": runtime.world_size,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(runtime.device) if on_gpu else _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    facts["hash"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return facts


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
