"""Measures the device's limit: multiply-accumulates/s of one large square matrix product in each precision."""

import time

import torch

from benchmarks.support.measure import median


def multiply_accumulates_per_s(device: torch.device, side: int, rounds: int) -> dict[str, float]:
    """Median over rounds by precision: `fp32` without TF32, `tf32`, `bf16`. On a CPU, TF32 is fp32."""
    kept = torch.backends.cuda.matmul.allow_tf32
    try:
        return {
            "fp32": _rate(device, side, rounds, torch.float32, tf32=False),
            "tf32": _rate(device, side, rounds, torch.float32, tf32=True),
            "bf16": _rate(device, side, rounds, torch.bfloat16, tf32=False),
        }
    finally:
        torch.backends.cuda.matmul.allow_tf32 = kept


def _rate(device: torch.device, side: int, rounds: int, dtype: torch.dtype, *, tf32: bool) -> float:
    torch.backends.cuda.matmul.allow_tf32 = tf32
    first, second = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    repeats = 10 if device.type == "cuda" else 1
    found = []
    for _ in range(rounds + 1):
        started_s = time.perf_counter()
        for _ in range(repeats):
            torch.mm(first, second)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(repeats * side**3 / (time.perf_counter() - started_s))
    return median(found[1:])  # In the first round the library chooses an algorithm.
