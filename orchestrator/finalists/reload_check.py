"""Measures an exported model again on a worker's hardware, as a Ray task; the driver's node may have no GPU."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import ray

from orchestrator.process.signals import Interruption
from search_spaces.sections import Resources
from trainables.evaluation.dataset import validation_error_pct
from trainables.runtime.node_cache import node_cache
from trainables.runtime.scratch import scratch_folder

LOOK_S = 0.5
PATIENCE_S = 30.0

logger = logging.getLogger(__name__)


def reload_error_pct(
    folder: Path,
    data_root: Path,
    resources: Resources,
    interruption: Interruption | None,
    patience_s: float = PATIENCE_S,
) -> float:
    """Returns the many-sample validation error (%) of an exported folder, measured with a worker's resources.

    The task carries the files, since its node may not share the driver's folder. It waits for a node with room, logs
    this once after `patience_s`, and raises SystemExit when the `interruption` requests an end.
    """
    task = ray.remote(_error_of).options(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    measured, began_s, said = task.remote(ray.put(files), data_root), time.monotonic(), False
    try:
        while not ray.wait([measured], timeout=LOOK_S)[0]:
            if interruption is not None:
                interruption.exit_if_requested("the winner is judged and registered")
            if not said and time.monotonic() - began_s > patience_s:
                said = True
                logger.warning(
                    "the exported model %s is measured again before it is judged: waiting for a node with %g CPUs and "
                    "%g GPUs to do it.",
                    folder,
                    resources.cpus_per_worker,
                    resources.gpus_per_worker,
                )
    except BaseException:
        ray.cancel(measured, force=True)
        raise
    error_pct: float = ray.get(measured)
    return error_pct


def _error_of(files: Mapping[str, bytes], data_root: Path) -> float:
    with scratch_folder(node_cache(), "exported") as scratch:
        folder = scratch / "model"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return validation_error_pct(folder, data_root)
