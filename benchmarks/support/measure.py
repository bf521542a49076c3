"""The frame of every benchmark: interleaved rounds, medians, one JSON object on stdout, the recorded result.

A script runs as `python -m benchmarks.systems.NAME [--quick] [--record]`. Output of libraries goes to stderr.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("torch", "torchvision", "numpy", "pyarrow", "ray", "optuna", "mlflow")


class Figure(NamedTuple):
    """One measured comparison. The goal is a bound on `ratio`."""

    name: str
    ours: float
    other: float
    ratio: float
    unit: str
    """Unit of `ours` and `other`."""
    what: Mapping[str, str]
    """Descriptions of `ours`, `other` and `ratio`."""
    details: Mapping[str, Any]


class Took(NamedTuple):
    """Seconds of one round."""

    wall_s: float
    cpu_s: float
    """CPU seconds of this process over all its threads."""


def timed(function: Callable[[], Any]) -> Took:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    function()
    return Took(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def interleave(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measures the contestants in turn, round by round, so that a slow minute of the machine affects all of them."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            found[name].append(contestant())
            print(f"round {number + 1} of {rounds}, {name}: {found[name][-1]:.4g}", file=sys.stderr)
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """The processor, its load, and the GPU if there is one."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load_average_1_min": round(os.getloadavg()[0], 2),
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name(0)
    return facts


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run(
    description: str | None,
    measure: Callable[[argparse.Namespace], Figure],
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs a script: measures, prints the figure, and with `--record` writes it under `results/`.

    `measure` raises ValueError for a measurement that this machine cannot make. Then the script prints the error's text
    on stderr and returns exit status 2.
    """
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; the figure means little")
    parser.add_argument("--record", action="store_true", help="keep the figure under benchmarks/results")
    options(parser)
    chosen = parser.parse_args(arguments)
    if chosen.quick and chosen.record:
        parser.error(
            "--quick and --record are both given; allowed: one of them. Record a full measurement: leave --quick out"
        )
    try:
        with _stdout_to_stderr():
            figure = measure(chosen)
            facts = to_dict(figure, chosen.quick)
    except ValueError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(facts), flush=True)
    if chosen.record:
        record(facts)
    return 0


def to_dict(figure: Figure, quick: bool) -> dict[str, Any]:
    """The figure as JSON values.

    Numbers have four digits, since further digits differ from run to run. Infinity and NaN become null.
    """
    facts = {**figure._asdict(), "quick": quick, "machine": machine(), "versions": versions()}
    rounded: dict[str, Any] = _rounded(facts)
    return rounded


def record(facts: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Writes `NAME.json`."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{facts['name']}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirects stdout of this process and its children to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
