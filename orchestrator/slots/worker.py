"""The loop that every worker of a slot runs: take a trial, train it epoch by epoch, report each epoch, take the next.

Rank 0 talks to the slot and broadcasts the answers over the process group, so that all ranks enter and leave a trial
together.
"""

import importlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from orchestrator.slots.fit_interface import Fit, FitReport
from orchestrator.slots.heartbeat import Heartbeat
from orchestrator.slots.messages import Assignment, Finished, GroupId
from orchestrator.slots.process_reset import ProcessState
from trainables.checkpoints.checkpoint import read_history
from trainables.checkpoints.checkpoint_store import CheckpointStore
from trainables.errors import AIBError
from trainables.runtime.node_cache import node_cache
from trainables.runtime.progress import advance
from trainables.runtime.runtime import Runtime
from trainables.training.pause import Paused

TAKE_S = 2.0
AGREE_S = 20.0
T = TypeVar("T")


def fit_trial(config: Mapping[str, Any], runtime: Runtime, resume: Path | None) -> Iterator[FitReport]:
    """Trains one trial, from `TrialConfig.to_dict()`."""
    from trainables.config.trial import TrialConfig
    from trainables.training.fit import fit

    return fit(TrialConfig.from_dict(config), runtime, resume)


def fit_trial_on_copies(config: Mapping[str, Any], runtime: Runtime, resume: Path | None) -> Iterator[FitReport]:
    """Trains one trial on the node's own copies of the data, which the first worker on the node makes."""
    from trainables.config.trial import TrialConfig
    from trainables.data.node_copy import copy_to_node
    from trainables.evaluation.final_score import stores_needed
    from trainables.training.fit import fit

    trial = TrialConfig.from_dict(config)
    near = copy_to_node(runtime.data_root, node_cache(), stores_needed(trial, runtime.data_root))
    return fit(trial, replace(runtime, data_root=near), resume)


def serve(config: Mapping[str, Any]) -> None:
    """Runs on every worker of a slot's Train run; `trainer.trainer` gives the config.

    Returns when the slot closes, after `trials_per_slot` trials, or when the workers are preempted. An error that not
    every rank raises on purpose ends the worker group. Train then starts a new group, and the trial continues from its
    newest checkpoint.
    """
    context = ray.train.get_context()
    slot = ray.get_actor(config["slot"], namespace=config["namespace"])
    rank, world_size = context.get_world_rank(), context.get_world_size()
    group = _broadcast(GroupId(config["run"], uuid.uuid4().hex), rank)
    ranks = _Ranks(slot, rank, world_size, group)
    _warm_up()
    before = ProcessState.capture()
    before.restore()
    served = 0
    with Heartbeat(slot, group, rank, world_size, _broadcast) as heartbeat:
        while (assignment := ranks.take()) is not None:
            finished = _run_trial(assignment, assignment.fit or config["fit"], ranks, heartbeat)
            if finished is None:
                if rank == 0:
                    ray.get(slot.leave.remote(group))
                return
            if rank == 0:
                ray.get(slot.end.remote(group, finished))
            # Meanwhile the owner reads the end and the next trial is chosen.
            before.restore(keep_gpu_memory=config["whole_gpu"])
            served += 1
            if served == config["trials_per_slot"]:
                return


def _warm_up() -> None:
    """Imports what the first trial needs. The slot starts beside the driver and the trials' actors; a trial waits."""
    importlib.import_module("trainables.training.fit")
    # PyTorch imports its compiler with a process's first optimizer.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


def _run_trial(assignment: Assignment, fit: Fit, ranks: "_Ranks", heartbeat: Heartbeat) -> Finished | None:
    """The trial's end in this group; None if the group was preempted and the trial continues in another group."""
    heartbeat.begin(assignment.trial)
    runtime = Runtime(
        data_root=assignment.data_root,
        rank=ranks.rank,
        world_size=ranks.world_size,
        device=ray.train.torch.get_device(),
        should_pause=heartbeat.leave,
    )
    try:
        with _resumed(assignment.checkpoints, ranks.rank) as resume:
            if _broadcast(_resend(assignment, resume, ranks) if ranks.rank == 0 else None, ranks.rank):
                return Finished("stopped")
            for report in fit(assignment.config, runtime, resume):
                heartbeat.epoch_done()
                verdict = _broadcast(_publish(assignment, report, ranks) if ranks.rank == 0 else None, ranks.rank)
                if verdict is not None:
                    return verdict
        return Finished("completed")
    except Paused as pause:
        if ranks.rank == 0:
            assignment.checkpoints.save(pause.epoch, pause.save, pause.step)
            assignment.checkpoints.prune()
        return None
    except AIBError as error:
        if not ranks.agree():
            raise
        return Finished("failed", str(error), type(error).__name__)


@contextmanager
def _resumed(checkpoints: CheckpointStore, rank: int) -> Iterator[Path | None]:
    """The checkpoint to continue from, the same on every rank; None on all ranks if there is none.

    Rank 0 chooses for all ranks, since storage may show a checkpoint to one node before another. If rank 0 fails to
    choose, every rank raises its error.
    """
    with ExitStack() as stack:
        newest: Path | None = None
        chosen: str | AIBError | None = None
        if rank == 0:
            try:
                newest = stack.enter_context(checkpoints.newest())
                chosen = newest.name if newest is not None else None
            except AIBError as error:
                chosen = error
        chosen = _broadcast(chosen, rank)
        if isinstance(chosen, AIBError):
            raise chosen
        if rank > 0 and chosen is not None:
            newest = stack.enter_context(checkpoints.named(chosen))
        yield newest


def _resend(assignment: Assignment, resume: Path | None, ranks: "_Ranks") -> bool:
    """Reports the checkpoint's epochs that the owner lacks; True if the slot answers one of them with a stop."""
    rows = read_history(resume) if resume is not None else []
    return any(ranks.put(int(row["epoch"]), row) for row in rows if row["epoch"] > assignment.epochs_known)


def _publish(assignment: Assignment, report: FitReport, ranks: "_Ranks") -> Finished | None:
    """Saves the checkpoint first and reports second, so that no reported epoch is lost. None: the trial continues."""
    try:
        assignment.checkpoints.save(report.epoch, report.save)
        assignment.checkpoints.prune()
    except AIBError as error:
        return Finished("failed", str(error), type(error).__name__)
    stop = ranks.put(report.epoch, report.metrics)
    return Finished("stopped") if stop and report.epoch < assignment.epochs else None


@dataclass(frozen=True)
class _Ranks:
    """One rank's calls to the slot."""

    slot: Any
    rank: int
    world_size: int
    group: GroupId

    def take(self) -> Assignment | None:
        """The next trial, on all ranks; None when the slot closes.

        Every wait is short, so that no other rank's broadcast comes near the process group's timeout.
        """
        while True:
            taken = ray.get(self.slot.take.remote(self.group, TAKE_S)) if self.rank == 0 else None
            taken = _broadcast(taken, self.rank)
            advance()
            if isinstance(taken, Assignment):
                return taken
            if taken == "close":
                return None

    def put(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        stop: bool = ray.get(self.slot.put.remote(self.group, epoch, dict(metrics)))
        return stop

    def agree(self) -> bool:
        if self.world_size == 1:
            return True
        together: bool = ray.get(self.slot.agree.remote(self.group, self.rank, self.world_size, AGREE_S))
        return together


def _broadcast(value: T, rank: int) -> T:
    """Rank 0's value, on every rank."""
    box = [value if rank == 0 else None]
    dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
    received: Any = box[0]
    return received  # type: ignore[no-any-return]
