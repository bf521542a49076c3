"""Measurements that need a worker's hardware, as Ray tasks: the driver's node may have none of it."""

from collections.abc import Mapping
from pathlib import Path

import ray

from orchestrator.evaluation import validation_error_pct
from search_spaces.sections import Resources
from trainables.data.scratch import scratch_folder
from trainables.node_cache import node_cache


def reload_error_pct(folder: Path, data_root: Path, resources: Resources) -> float:
    """The many-sample validation error of an exported folder, measured on a node like the one that trained it.

    The files travel with the task, since the node need not share the driver's folder.
    """
    task = ray.remote(_error_of).options(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    error_pct: float = ray.get(task.remote(ray.put(files), data_root))
    return error_pct


def _error_of(files: Mapping[str, bytes], data_root: Path) -> float:
    with scratch_folder(node_cache(), "exported") as scratch:
        folder = scratch / "model"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return validation_error_pct(folder, data_root)
