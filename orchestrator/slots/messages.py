"""The messages between a trial's owner, its slot and the slot's workers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from orchestrator.slots.failures import Failure
from orchestrator.slots.fit_interface import Fit
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.errors import AIBError

StatusState = Literal["starting", "idle", "leased", "leaving", "broken", "closed"]
"""A slot's state as commands and metrics show it."""


class GroupId(NamedTuple):
    """Names one worker group of a slot."""

    run: str
    """The Train run that started the group."""
    group: str


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One trial to run."""

    trial: str
    """The project's name of the trial, the same before and after a resume."""
    config: dict[str, Any]
    """`TrialConfig.to_dict()`; `epochs` is read here, the rest belongs to the science."""
    checkpoints: CheckpointStore
    """Of this trial alone, on storage that every node reaches."""
    data_root: Path
    epochs_known: int = 0
    """The last epoch that the owner has; earlier ones are not sent again."""
    max_failures: int = 2
    """How many lost worker groups by the trial's own fault are replaced (`failures.decide`)."""
    failures: tuple[Failure, ...] = ()
    """Worker groups that the trial lost so far, on earlier slots."""
    fit: Fit | None = None
    """What the workers run for this assignment; None: the training of their slot (`SlotSpec.fit`)."""

    @property
    def epochs(self) -> int:
        return int(self.config["epochs"])


@dataclass(frozen=True)
class EpochResult:
    """One epoch of a trial."""

    epoch: int
    metrics: dict[str, float]
    failures: tuple[Failure, ...] = ()
    """Worker groups that the trial lost so far."""


@dataclass(frozen=True)
class Finished:
    """A trial's end in its slot."""

    state: Literal["completed", "stopped", "failed"]
    reason: str = ""
    kind: str = ""
    """The kind of failure: the type name of the training's error, or one of `failures.KINDS`."""


@dataclass(frozen=True)
class SlotPreempted:
    """The slot's own node is about to go; the trial continues from its newest checkpoint in another slot."""

    failures: tuple[Failure, ...]
    """Worker groups that the trial lost so far."""


@dataclass(frozen=True)
class SlotStatus:
    """A slot at a glance."""

    state: StatusState
    trial: str | None
    epoch: int
    failure: str
    """Why the last worker group or Train run was lost; empty if none was."""
    serving: bool
    """Whether a worker group is present; False while the first one, or a replacement, is awaited."""
    groups_lost: int = 0
    """Worker groups lost in mid-trial since this slot's process started."""
    workers: int = 0
    """Workers of the present group, or of the awaited one."""
    stepped: bool = False
    """Whether the workers have made a step of the trial."""
    nodes: tuple[str, ...] = ()
    """Ids of the nodes of the present workers."""
    no_room: str = ""
    """What the workers wait for, if the cluster had no room for them within the start timeout."""


@dataclass(frozen=True)
class PoolState:
    """All slots of a pool at a glance, also those that only finish their trial."""

    serving: int
    """Slots with a worker group."""
    workers: int
    """Workers of these groups."""
    waiting: int
    """Slots that the cluster has no room for, or that wait for their study's turn."""
    starting: int
    """Slots whose workers have room and start, or whose state is unknown."""
    stepped: frozenset[str]
    """Trials of which a step has been made."""

    @property
    def slots(self) -> int:
        return self.serving + self.waiting + self.starting


@dataclass(frozen=True)
class PoolRef:
    """Where to find the slots of a pool: their actors' names begin with `prefix`."""

    prefix: str
    namespace: str


class SlotError(AIBError):
    """No slot can serve: none of the pool's worker groups starts, or the pool is closed."""
