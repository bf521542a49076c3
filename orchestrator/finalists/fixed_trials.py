"""Runs a fixed list of trials in the slots, without Tune: the finalists, or the single trial of `aib train`."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.slots.client import Lease, acquire, this_process
from orchestrator.slots.messages import Assignment, Finished
from orchestrator.slots.pool import SlotPool
from orchestrator.study.checkpoint_storage import TrialStorage
from orchestrator.tracking.recorder import Recorder
from trainables.config.trial import TrialConfig
from trainables.errors import AIBError, StorageError

LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial with fixed values."""

    trial: str
    kind: str
    config: TrialConfig
    params: Mapping[str, Any]
    of: str | None = None


def run_trials(
    planned: Iterable[PlannedTrial],
    recorder: Recorder,
    pool: SlotPool,
    storage: TrialStorage,
    data_root: Path,
    max_failures: int,
    interrupted: threading.Event,
) -> None:
    """Runs every trial that has not ended yet, one per slot and as many at a time as there are slots.

    `interrupted` stops all trials at their present step, with a checkpoint; a resume continues them. An error that is
    not the trial's own stops them at the end of their epoch and is raised: StorageError where a checkpoint cannot be
    stored, LockLostError where another driver has the study, SlotError where no slot can serve.
    """
    halted = threading.Event()
    waiting = [
        one
        for one in planned
        if one.trial not in recorder.journal.state.trials or recorder.journal.state.trials[one.trial].state == "running"
    ]
    for one in waiting:
        recorder.trial_started(one.trial, one.kind, one.params, one.config, one.of)
    running: dict[str, Lease] = {}

    def ending() -> bool:
        return interrupted.is_set() or halted.is_set()

    def run(one: PlannedTrial) -> None:
        try:
            run_in_slot(one)
        except CancelledError:
            # Cancelled while it waited for a slot.
            return
        except AIBError:
            halted.set()
            raise

    def run_in_slot(one: PlannedTrial) -> None:
        record = recorder.journal.state.trials[one.trial]
        assignment = Assignment(
            trial=one.trial,
            config=one.config.to_dict(),
            checkpoints=storage.of(one.trial),
            data_root=data_root,
            epochs_known=record.epoch,
            max_failures=max_failures,
        )
        with acquire(pool.ref, f"{one.trial} of {this_process()}", cancelled=ending) as lease:
            lease.start(assignment)
            running[one.trial] = lease
            while not isinstance(message := lease.next(), Finished):
                recorder.epoch(one.trial, message.metrics)
                if ending():
                    lease.stop()
            del running[one.trial]
            if message.kind == StorageError.__name__:
                raise StorageError(message.reason)
            if message.state == "stopped" and ending():
                return
            recorder.trial_ended(one.trial, message.state, message.reason, message.kind)

    if not waiting:
        return
    begun, later = list[Future[None]](), deque(waiting)
    with ThreadPoolExecutor(max_workers=len(waiting), thread_name_prefix="trial") as threads:
        while later or not all(future.done() for future in begun):
            # Each waiting trial polls every slot twice a second, so no more trials wait than there are slots.
            going = [future for future in begun if not future.done()]
            room = max(1, pool.size) - len(going)
            started = [threads.submit(run, later.popleft()) for _ in range(min(len(later), room))]
            begun += started
            wait([*going, *started], timeout=LOOK_S, return_when=FIRST_COMPLETED)
            if interrupted.is_set():
                for lease in list(running.values()):
                    lease.stop(at_once=True)
        for future in begun:
            future.result()
