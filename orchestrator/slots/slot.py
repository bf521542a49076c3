"""A slot: a mailbox, and beside it in the same process the Train run whose workers serve it.

One process, so one thing to lose: if it dies, Ray starts it anew, and with it the Train run; the trial's owner finds
its lease gone and leases again. If only the Train run dies, the slot starts another one and keeps the trial.
"""

import logging
import os
import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray
from ray._private.state import state
from ray.util.state.exception import RayStateApiException

from orchestrator.ray_cluster.nodes import wanting
from orchestrator.slots import placement_groups
from orchestrator.slots.failures import Failure, cause_line
from orchestrator.slots.hang_detector import Beat, Watchdog
from orchestrator.slots.messages import SlotStatus
from orchestrator.slots.slot_state import Mailbox
from orchestrator.slots.spec import SlotSpec
from trainables.runtime.node_cache import node_cache

if TYPE_CHECKING:
    pass

RETRY_S = 2.0
LOOK_S = 1.0
SWEEP_S = 5.0

logger = logging.getLogger(__name__)

TRAIN_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "120",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # Paths in a job are absolute; a working folder of Ray's would only be one more thing that differs.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


NO_ROOM = "WorkerGroupStartupTimeoutError"
"""Ray Train's error, by a name that it does not export, of a run whose workers found no place in the time given."""


class Slot(Mailbox):
    """The actor. Its Train run goes on in a thread of its own until the slot is closed."""

    def __init__(self, name: str, namespace: str, spec: SlotSpec) -> None:
        super().__init__(owner_timeout_s=spec.owner_timeout_s)
        self._name, self._namespace, self._spec = name, namespace, spec
        self._workers, self._node = spec.workers, ray.get_runtime_context().get_node_id()
        settings = {
            **TRAIN_SETTINGS,
            "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(spec.start_timeout_s),
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": str(int(spec.watch_preemption)),
        }
        for key, value in settings.items():
            os.environ.setdefault(key, value)
        self._ended = threading.Event()
        self._watchdog, self._ranks = Watchdog(spec.hang_timeout_s), dict[int, tuple[Any, str]]()
        for target, thread in ((self._serve, "train-run"), (self._sweep, "orphans"), (self._watch, "watchdog")):
            threading.Thread(target=target, name=thread, daemon=True).start()

    def ended(self, timeout_s: float) -> bool:
        """Whether the Train run is over, after `close`, within the time."""
        return self._ended.wait(timeout_s)

    def beat(self, group: str, beat: Beat, worker: Any, node_id: str) -> bool:
        """A worker's sign of life; the answer is whether it is to leave at its next step."""
        with self._changed:
            if group == self._group:
                if group != self._watchdog.group:
                    self._ranks = {}
                self._ranks[beat.rank] = (worker, node_id)
                self._watchdog.beat(group, beat)
        return self.called_away(group)

    def pid(self) -> int:
        return os.getpid()

    def resize(self, workers: int) -> None:
        """Another number of workers: the present ones are called away, and the trial goes on at the step they saved."""
        with self._changed:
            if workers != self._workers:
                self._workers = workers
                self.call_away(self._group)

    def status(self) -> SlotStatus:
        return replace(super().status(), workers=self._workers)

    def _serve(self) -> None:
        from orchestrator.slots.trainer import trainer

        while not self._closing:
            with self._changed:
                if self._moving:
                    # Train puts a run's controller on this node, which takes nothing any more.
                    self._changed.wait_for(lambda: bool(self._closing))
                    break
                run, workers = self.run_started(), self._workers
            try:
                trainer(self._spec, self._name, self._namespace, run, self._run_name, workers).fit()
            except Exception as error:
                # Whatever ended the run, the slot's task is to start another one; the cause is in its status.
                failure = getattr(error, "controller_failure", error)
                no_room = type(failure).__name__ == NO_ROOM
                said = wanting(workers, self._spec.resources) if no_room else cause_line(failure)
                self.run_failed(said, no_room=no_room)
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._closing), RETRY_S)
        if self._spec.storage is None:
            shutil.rmtree(node_cache() / "slots" / self._run_name, ignore_errors=True)
        self._ended.set()

    @property
    def _run_name(self) -> str:
        return self._name.rsplit(":", 1)[-1]

    def _sweep(self) -> None:
        """While the present run waits for its workers: removes what dead controllers left in their place.

        A group must be found empty twice, so that one whose workers are just being created is left alone.
        """
        job_id, empty = ray.get_runtime_context().get_job_id(), set[str]()
        while not self._ended.wait(SWEEP_S):
            if self._group.startswith(self._run):
                empty = set()
                continue
            try:
                found = placement_groups.orphans(job_id, self._spec.resources)
                for group in found & empty:
                    placement_groups.remove(group)
            except RayStateApiException:
                # The dashboard is busy; the next round asks again.
                found = set()
            empty = found

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            if self.deserted:
                # Ray starts the slot anew, on a node that stays.
                os._exit(1)
            try:
                self._look()
            except Exception:
                # The cluster's head is away for a moment; the next look asks again.
                logger.warning("a look at the workers failed", exc_info=True)

    def _look(self) -> None:
        """Kills a group that is stuck, calls one away whose node is about to go, and moves with the slot's own node."""
        with self._changed:
            late = self._watchdog.stuck(LOOK_S)
            served = self._serving and self._watchdog.group == self._group
            group, ranks = self._group, dict(self._ranks) if served else {}
            if served and late is not None:
                self._idle = False
                self._lost(Failure("hang", late))
        if served and late is not None:
            logger.warning("%s: %s; its worker group is killed", self._name, late)
            for worker, _ in ranks.values():
                # Train sees the death and starts a new group; a process that is stopped does not hinder this.
                ray.kill(worker, no_restart=True)
            self.group_lost(group.split("/", maxsplit=1)[0], Failure("hang", late))
        draining = state.get_draining_nodes() or {}
        if self._node in draining:
            self.move()
        elif group != self._away and any(node_id in draining for _, node_id in ranks.values()):
            self.call_away(group)
