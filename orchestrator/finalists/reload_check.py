"""Measures an exported model again in one of the study's slots: the driver's node may lack a worker's hardware.

A search keeps a slot for this, so that it need not wait for room on a cluster that other studies use.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.process.signals import Interruption
from orchestrator.slots.client import acquire, this_process
from orchestrator.slots.messages import Assignment, Finished
from orchestrator.slots.pool import SlotPool
from trainables.checkpoints.checkpoint_store import KEEP_CHECKPOINTS, StoredCheckpoint
from trainables.errors import AIBError
from trainables.evaluation.dataset import validation_error_pct
from trainables.runtime.node_cache import node_cache
from trainables.runtime.runtime import Runtime
from trainables.runtime.scratch import scratch_folder

LOOK_S = 0.5
_METRIC = "reloaded_val_error_pct"
_LEFT = "the winner is judged and registered"


def reload_error_pct(folder: Path, data_root: Path, pool: SlotPool, interruption: Interruption | None) -> float:
    """Returns the many-sample validation error (%) of an exported folder, measured by a slot's workers.

    The assignment carries the files, since a worker's node may not share the driver's folder. It waits for a slot.
    Raises SystemExit when the `interruption` requests an end, and AIBError where the model cannot be measured.
    """
    assignment = Assignment(
        trial="reload-check",
        config={"epochs": 1, "files": {path.name: path.read_bytes() for path in folder.iterdir()}},
        checkpoints=_NoCheckpoints(),
        data_root=data_root,
        fit=measure,
    )

    def ending() -> bool:
        return interruption is not None and interruption.requested.is_set()

    try:
        with acquire(pool.ref, f"reload check of {this_process()}", cancelled=ending) as lease:
            lease.start(assignment)
            while (message := lease.poll(LOOK_S)) is None:
                if interruption is not None:
                    interruption.exit_if_requested(_LEFT)
    except CancelledError:
        assert interruption is not None
        interruption.exit_if_requested(_LEFT)
        raise
    except SystemExit:
        # A measurement has no step to save.
        pool.close(grace_s=0)
        raise
    if isinstance(message, Finished):
        raise AIBError(
            f"the exported model {folder} could not be measured again ({message.reason or message.state}); judge it "
            "with the same command and --resume."
        )
    return message.metrics[_METRIC]


@dataclass(frozen=True)
class _Measured:
    """The one report of a measurement."""

    metrics: dict[str, float]
    epoch: int = 1

    @property
    def save(self) -> Callable[[Path], Path]:
        return lambda folder: folder


def measure(config: Mapping[str, Any], runtime: Runtime, resume: Path | None) -> Iterator[_Measured]:
    """Runs on every rank of a slot, as a training of one epoch; all ranks measure the same, so that none waits."""
    yield _Measured({_METRIC: _error_of(config["files"], runtime.data_root)})


def _error_of(files: Mapping[str, bytes], data_root: Path) -> float:
    with scratch_folder(node_cache(), "exported") as scratch:
        folder = scratch / "model"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return validation_error_pct(folder, data_root)


class _NoCheckpoints:
    """The checkpoint store of a measurement: it has none and keeps none."""

    def save(self, epoch: int, write: Callable[[Path], Path], step: int = 0) -> None:
        return

    def newest(self) -> AbstractContextManager[Path | None]:
        return nullcontext(None)

    def named(self, name: str) -> AbstractContextManager[Path]:
        raise AssertionError("there is no checkpoint")

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        return

    def listed(self) -> list[StoredCheckpoint]:
        return []

    def remove(self, name: str) -> None:
        return
