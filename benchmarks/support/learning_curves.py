"""Learning curves of many trials, each trained once and kept in a file.

A trial is bit-reproducible, so searches over the same trials can be replayed from the file.
"""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch

from orchestrator.planning.signature import trial_signature
from trainables.config.trial import TrialConfig
from trainables.runtime.atomic_file import replace_file
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit

Curve = list[dict[str, float]]
"""One row of metrics an epoch."""


def learning_curves(configs: Sequence[TrialConfig], data_root: Path, kept: Path, processes: int) -> list[Curve]:
    """The curve of every trial. Trials in the file are not trained again; new ones are added one by one."""
    known: dict[str, Curve] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    missing = {trial_signature(config): config for config in configs if trial_signature(config) not in known}
    kept.parent.mkdir(parents=True, exist_ok=True)
    if missing:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(train, config, data_root): key for key, config in missing.items()}
            for number, future in enumerate(as_completed(running), 1):
                known[running[future]] = future.result()
                replace_file(kept, json.dumps(known), aside=kept.with_suffix(".tmp"))
                print(f"trained {number} of {len(missing)}", file=sys.stderr)
    return [known[trial_signature(config)] for config in configs]


def train(config: TrialConfig, data_root: Path) -> Curve:
    """Trains one trial from its first epoch to its last."""
    torch.set_num_threads(1)
    return [report.metrics for report in fit(config, Runtime(data_root=data_root))]
