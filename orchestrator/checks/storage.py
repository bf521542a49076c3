"""Checks storage and prepared data from the driver and from every node, before anything starts."""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.checks.storage_probe import BucketMarks, FolderMarks, Marks, NeededData, fault_of, probe
from orchestrator.errors import PreflightError, first_line
from orchestrator.ray_cluster.node_tasks import on_every_node
from orchestrator.study.checkpoint_storage import TrialStorage

NODE_S = 120.0
NODES_NAMED = 3


def check_storage(storage: TrialStorage, root: Path, data: Sequence[NeededData], timeout_s: float = NODE_S) -> None:
    """Raises PreflightError unless the driver and every alive node can write, read and remove files there.

    Each node must also see the driver's files and find the prepared data sets. With checkpoints in the study's folder,
    all nodes must share the root. With checkpoints in an object store, only the driver writes to the root.
    """
    _check_driver(FolderMarks(root), str(root), "choose another --root, or make it writable")
    marks: Marks = FolderMarks(root)
    place, advice = f"the root {root}", "mount it on every node at the same path, or choose a shared --root"
    if storage.bucket is not None:
        marks = BucketMarks(storage.bucket)
        place = f"the storage {storage.place}"
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ~/.aws, or a role) there, with rights to write"
        _check_driver(marks, storage.place, f"{advice}, or change --storage")
    try:
        with marks.marked("driver") as shared:
            faults = _node_faults(marks, shared, data, timeout_s)
    except OSError as error:
        raise PreflightError(f"{place} cannot be used from the driver: {first_line(error)}; {advice}.") from None
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


def _node_faults(marks: Marks, shared: str, data: Sequence[NeededData], timeout_s: float) -> list[tuple[str, str]]:
    """Every node that cannot serve: its address and the reason. Skips nodes that are lost meanwhile."""
    answers = on_every_node(fault_of, marks, "node", shared, data, timeout_s=timeout_s)
    return [(one.address, fault) for one in answers if (fault := one.error or one.value) is not None]
