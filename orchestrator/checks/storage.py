"""Storage and data looked at from the driver and from every node, before anything is started."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.checks.storage_marks import BucketMarks, FolderMarks, Marks, NeededData, fault_of, new_mark, probe
from orchestrator.errors import PreflightError, first_line
from orchestrator.study.checkpoint_storage import TrialStorage

NODE_S = 120.0
NODES_NAMED = 3
ATTEMPTS = 3
"""How often a node is asked whose worker dies of it: a call that the network drops ends a worker too."""


def check_storage(storage: TrialStorage, root: Path, data: Sequence[NeededData], timeout_s: float = NODE_S) -> None:
    """Raises PreflightError unless the driver and every alive node can write, read and remove what the others do.

    Nodes must find the prepared data sets too. Where checkpoints are in the study's folder, it is the root that every
    node must share; where they are objects, the root is the driver's alone to write.
    """
    _check_driver(FolderMarks(root), str(root), "choose another --root, or make it writable")
    marks: Marks = FolderMarks(root)
    place, advice = f"the root {root}", "mount it on every node at the same path, or choose a shared --root"
    if storage.bucket is not None:
        marks = BucketMarks(storage.bucket)
        place = f"the storage {storage.place}"
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ~/.aws, or a role) there, with rights to write"
        _check_driver(marks, storage.place, f"{advice}, or change --storage")
    shared = new_mark("driver")
    try:
        marks.write(shared)
        faults = _faults(marks, shared, data, timeout_s)
    except OSError as error:
        raise PreflightError(f"{place} cannot be used from the driver: {first_line(error)}; {advice}.") from None
    finally:
        with suppress(OSError):
            marks.remove(shared)
    if faults:
        named = "; ".join(f"node {node}: {fault}" for node, fault in faults[:NODES_NAMED])
        more = f"; and {len(faults) - NODES_NAMED} more nodes" if len(faults) > NODES_NAMED else ""
        raise PreflightError(f"{place} cannot be used from every node ({named}{more}); {advice}.")


def _check_driver(marks: Marks, place: str, advice: str) -> None:
    try:
        if isinstance(marks, FolderMarks):
            marks.folder.mkdir(parents=True, exist_ok=True)
        probe(marks, "driver")
    except OSError as error:
        raise PreflightError(f"{place} cannot be used from the driver: {first_line(error)}; {advice}.") from None


def _faults(marks: Marks, shared: str, data: Sequence[NeededData], timeout_s: float) -> list[tuple[str, str]]:
    """The address of every node that cannot serve, and why; one that is lost meanwhile is no longer asked to."""
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(fault_of).options(num_cpus=0, max_retries=ATTEMPTS - 1, scheduling_strategy=there)
            asked[task.remote(marks, "node", shared, data)] = node
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
    faults = [(asked[ref], f"it did not answer within {timeout_s:g} s") for ref in silent]
    for ref in silent:
        ray.cancel(ref, force=True)
    for ref in answered:
        try:
            fault = ray.get(ref)
        except RayError as error:
            fault = f"the check did not run there ({str(error).strip().splitlines()[0]})"
        if fault is not None:
            faults.append((asked[ref], fault))
    lost = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
    return [(node["NodeManagerAddress"], fault) for node, fault in faults if node["NodeID"] not in lost]
