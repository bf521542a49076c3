"""What passes between the owner of a trial, its slot, and the workers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.slots.failures import Failure
from trainables.checkpoints.folder_store import CheckpointStore
from trainables.errors import AIBError

SlotState = Literal["starting", "idle", "leased", "leaving", "broken", "closed"]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One trial to run."""

    trial: str
    """Our own name of the trial, the same before and after a resume."""
    config: dict[str, Any]
    """`TrialConfig.to_dict()`; `epochs` is read here, the rest belongs to the science."""
    checkpoints: CheckpointStore
    """The trial's own, on storage that every node reaches."""
    data_root: Path
    epochs_known: int = 0
    """Epochs that the owner has already; they are not sent again."""
    max_failures: int = 2
    """Lost worker groups of the trial's own fault that are made good (`failures.decide`)."""
    failures: tuple[Failure, ...] = ()
    """Lost worker groups so far, on slots that served the trial before this one."""

    @property
    def epochs(self) -> int:
        return int(self.config["epochs"])


@dataclass(frozen=True)
class EpochResult:
    """One epoch of a trial."""

    epoch: int
    metrics: dict[str, float]
    failures: tuple[Failure, ...] = ()
    """Lost worker groups up to here."""


@dataclass(frozen=True)
class Finished:
    """A trial's end in its slot."""

    state: Literal["completed", "stopped", "failed"]
    reason: str = ""
    kind: str = ""
    """What made the trial fail: the name of the science's error, or one of `failures.KINDS`."""


@dataclass(frozen=True)
class Moved:
    """The slot's own node is about to go; its trial goes on from its newest checkpoint in another slot."""

    failures: tuple[Failure, ...]
    """Lost worker groups up to here."""


@dataclass(frozen=True)
class SlotStatus:
    """A slot at a glance."""

    state: SlotState
    trial: str | None
    epoch: int
    failure: str
    """Why the last worker group or Train run was lost; empty if none was."""
    serving: bool
    """A worker group is there; False while one is awaited, be it the first or one in place of a lost one."""
    groups_lost: int = 0
    """Worker groups lost in the middle of a trial since this slot's process began."""
    workers: int = 0
    """That the present worker group has, or the awaited one will have."""
    no_room: str = ""
    """What its workers wait for, where the cluster had no place for them in the time that a start may take."""


@dataclass(frozen=True)
class PoolRef:
    """Where the slots of a pool are found: their names begin with `prefix`."""

    prefix: str
    namespace: str


class SlotError(AIBError):
    """No slot can serve: none of the pool's worker groups starts, or the pool is closed."""
