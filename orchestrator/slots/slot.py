"""A slot: the actor that holds the slot's state and, in a thread, the Train run whose workers serve the slot.

Both share one process, so only one thing can be lost. If the process dies, Ray restarts it, and it starts a new Train
run; the trial's owner finds its lease lost and leases a slot again. If only the Train run dies, the slot starts another
one and keeps the trial.
"""

import logging
import os
import shutil
import threading
from dataclasses import replace
from typing import Any, Literal

import ray
from ray._private.state import state
from ray.util.state.exception import RayStateApiException

from orchestrator.ray_cluster.nodes import waiting_message
from orchestrator.slots import placement_groups
from orchestrator.slots.failures import Failure, cause_line
from orchestrator.slots.hang_detector import HangDetector, RankProgress
from orchestrator.slots.messages import Assignment, EpochResult, Finished, GroupId, SlotPreempted, SlotStatus
from orchestrator.slots.slot_state import SlotState
from orchestrator.slots.spec import SlotSpec
from trainables.runtime.node_cache import node_cache

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
    # A trial's paths are absolute; a working folder of Ray's would only add one more difference between processes.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
NO_ROOM = "WorkerGroupStartupTimeoutError"
"""Ray Train's error for workers that found no room in time, by name because Ray does not export it."""


class Slot:
    """The actor. Its Train run continues in a thread until the slot is closed."""

    def __init__(self, name: str, namespace: str, spec: SlotSpec, workers: int, watch_preemption: bool) -> None:
        """`workers`: at the start; `resize` changes them. With 0 the slot is parked: it never starts any.

        `watch_preemption`: Train watches for nodes about to go.
        """
        self._name, self._namespace, self._spec = name, namespace, spec
        self._state = SlotState(owner_timeout_s=spec.owner_timeout_s)
        self._workers, self._node = workers, ray.get_runtime_context().get_node_id()
        settings = {
            **TRAIN_SETTINGS,
            "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(spec.start_timeout_s),
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": str(int(watch_preemption)),
        }
        for key, value in settings.items():
            os.environ.setdefault(key, value)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        """Guards the number of workers, the hang detector and the ranks; taken before the state's own lock."""
        self._hang_detector = HangDetector(spec.hang_timeout_s)
        self._ranks = dict[int, tuple[Any, str]]()
        """Actor and node of each rank of the group that the hang detector watches."""
        self._stepped = ""
        """The trial of which that group has made a step."""
        loops = ((self._serve, "train-run"), (self._sweep, "leaked-groups"), (self._watch, "hang-detector"))
        for target, thread in loops:
            threading.Thread(target=target, name=thread, daemon=True).start()

    # The owner's calls; `SlotState` says what each does.

    def lease(self, owner: str) -> str | None:
        return self._state.lease(owner)

    def start(self, token: str, assignment: Assignment) -> bool:
        return self._state.start(token, assignment)

    def next(self, token: str, timeout_s: float) -> EpochResult | Finished | SlotPreempted | Literal["wait", "lost"]:
        return self._state.next(token, timeout_s)

    def stop(self, token: str, at_once: bool = False) -> bool:
        return self._state.stop(token, at_once)

    def release(self, token: str) -> None:
        self._state.release(token)

    def heartbeat(self, token: str) -> bool:
        return self._state.heartbeat(token)

    # The workers' calls.

    def take(self, group: GroupId, timeout_s: float) -> Assignment | Literal["wait", "close"]:
        return self._state.take(group, timeout_s)

    def put(self, group: GroupId, epoch: int, metrics: dict[str, float]) -> bool:
        return self._state.put(group, epoch, metrics)

    def end(self, group: GroupId, finished: Finished) -> None:
        self._state.end(group, finished)

    def leave(self, group: GroupId) -> None:
        self._state.leave(group)

    def agree(self, group: GroupId, rank: int, world_size: int, timeout_s: float) -> bool:
        return self._state.agree(group, rank, world_size, timeout_s)

    def group_lost(self, run: str, failure: Failure) -> None:
        self._state.group_lost(run, failure)

    def worker_heartbeat(self, group: GroupId, progress: RankProgress, worker: Any, node_id: str) -> bool:
        """A worker is alive; the answer is whether it has to leave at its next step."""
        with self._lock:
            if group == self._state.serving_group:
                if group != self._hang_detector.group:
                    self._ranks, self._stepped = {}, ""
                self._ranks[progress.rank] = (worker, node_id)
                if progress.rank == 0:
                    self._stepped = progress.stepped
                self._hang_detector.heartbeat(group, progress)
        return self._state.must_leave(group)

    # The pool's calls.

    def close(self, drain: bool = False) -> None:
        self._state.close(drain)

    def ended(self, timeout_s: float) -> bool:
        """Whether the Train run is over, after `close`, within the time."""
        return self._ended.wait(timeout_s)

    def pid(self) -> int:
        return os.getpid()

    def resize(self, workers: int) -> None:
        """Changes the number of workers: the present ones are preempted, and the trial continues at the step they
        saved."""
        with self._lock:
            if workers != self._workers:
                self._workers = workers
                self._state.preempt_group()

    def status(self) -> SlotStatus:
        with self._lock:
            found = self._state.status()
            return replace(
                found,
                workers=self._workers,
                stepped=found.trial is not None and found.trial == self._stepped,
                nodes=tuple(sorted({node for _, node in self._ranks.values()})) if found.serving else (),
            )

    def _serve(self) -> None:
        from orchestrator.slots.trainer import trainer

        while not self._state.closing:
            if self._workers == 0:
                # Parked: other studies have the turn, and the pool replaces this slot when ours comes.
                self._state.wait_closing()
                break
            with self._lock:
                run, workers = self._state.run_started(), self._workers
            if run is None:
                # Train would put the run's controller on this node, which is about to go.
                self._state.wait_closing()
                break
            try:
                trainer(self._spec, self._name, self._namespace, run, self._run_name, workers).fit()
            except Exception as error:
                # Whatever ended the run, the slot has to start another one; its status shows the cause.
                failure = getattr(error, "controller_failure", error)
                no_room = type(failure).__name__ == NO_ROOM
                reason = waiting_message(workers, self._spec.resources) if no_room else cause_line(failure)
                self._state.run_failed(reason, no_room=no_room)
                self._state.wait_closing(RETRY_S)
        if self._spec.storage is None:
            shutil.rmtree(node_cache() / "slots" / self._run_name, ignore_errors=True)
        self._ended.set()

    @property
    def _run_name(self) -> str:
        return self._name.rsplit(":", 1)[-1]

    def _sweep(self) -> None:
        """While the present run waits for its workers: removes the placement groups that dead controllers leaked.

        A group must be found empty twice, so that one whose workers are just being created is left alone.
        """
        job_id, empty = ray.get_runtime_context().get_job_id(), set[str]()
        while not self._ended.wait(SWEEP_S):
            if not self._state.awaits_group:
                empty = set()
                continue
            try:
                found = placement_groups.leaked_groups(job_id, self._spec.resources)
                for group in found & empty:
                    placement_groups.remove(group)
            except RayStateApiException:
                # The dashboard is busy; the next round asks again.
                found = set()
            empty = found

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            if self._state.may_restart:
                # Ray restarts the slot on a node that stays.
                os._exit(1)
            try:
                self._look()
            except Exception:
                # The cluster's head is briefly unreachable; the next look asks again.
                logger.warning("a look at the workers failed", exc_info=True)

    def _look(self) -> None:
        """Kills a hung group, preempts a group whose node is about to go, and the slot if its own node is."""
        with self._lock:
            hang = self._hang_detector.stuck(LOOK_S)
            group = self._state.serving_group
            served = group is not None and group == self._hang_detector.group
            ranks = dict(self._ranks) if served else {}
        if group is not None and served and hang is not None:
            # Before the kill, so that the hang is the first reason given; after it, as the group may have called since.
            self._state.group_lost(group.run, Failure("hang", hang))
            logger.warning("%s: %s; its worker group is killed", self._name, hang)
            for worker, _ in ranks.values():
                # Train sees the death and starts a new group; this works on a stopped process too.
                ray.kill(worker, no_restart=True)
            self._state.group_lost(group.run, Failure("hang", hang))
        draining = state.get_draining_nodes() or {}
        if self._node in draining:
            self._state.preempt_slot()
        elif any(node_id in draining for _, node_id in ranks.values()):
            self._state.preempt_group(group)
