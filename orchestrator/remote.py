"""Measurements that need a worker's hardware, as Ray tasks: the driver's node may have none of it."""

from pathlib import Path

import ray

from orchestrator.evaluation import validation_error_pct
from search_spaces.sections import Resources


def reload_error_pct(folder: Path, data_root: Path, resources: Resources) -> float:
    """The many-sample validation error of an exported folder, measured on a node like the one that trained it."""
    task = ray.remote(validation_error_pct).options(
        num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker
    )
    error_pct: float = ray.get(task.remote(folder, data_root))
    return error_pct
