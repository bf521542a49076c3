"""A pool of slots, as many as the cluster holds. The driver starts and closes it; others find it through its `ref`."""

import itertools
import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import ray
from ray.util.state.exception import RayStateApiException

from orchestrator.ray_cluster.nodes import waiting_message
from orchestrator.slots import placement_groups
from orchestrator.slots.client import ask, statuses
from orchestrator.slots.messages import PoolRef, PoolState, SlotStatus
from orchestrator.slots.slot import Slot
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.surplus import surplus_slots

CLOSE_S = 20.0
SLOT_THREADS = 64
"""Calls that a slot answers at a time: one take, one next, and short ones of every owner that looks for a slot."""

logger = logging.getLogger(__name__)


class SlotPool:
    """Context manager. Slots start at the same time and can be leased as soon as each is ready."""

    def __init__(self, shape: Sequence[int], spec: SlotSpec) -> None:
        """`shape`: the workers of each slot."""
        self._shape = tuple(shape)
        self._spec = replace(spec, storage=spec.storage and spec.storage.absolute())
        # The workers of a cluster of one node have no other node to go to.
        self._watch_preemption = sum(node["Alive"] for node in ray.nodes()) > 1
        self.ref = PoolRef(f"aib-slots-{uuid.uuid4().hex[:8]}:", ray.get_runtime_context().namespace)
        # The autoscaler resizes the pool from a thread of its own.
        self._lock = threading.Lock()
        self._closed = False
        self._slots: dict[int, Any] = {}
        self._workers: dict[int, int] = {}
        self._draining: list[Any] = []
        self._target = len(self._shape)
        self._without_room: set[str] = set()
        """Placement groups that waited for room at the last look."""
        self._num_waiting = 0
        """Slots that waited for room at the last look, without parked ones."""

    def __enter__(self) -> "SlotPool":
        self.resize(self._shape)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Number of slots that take trials; a slot that only finishes its trial is not counted."""
        return min(len(self._slots), self._target)

    def resize(self, shape: Sequence[int]) -> None:
        """Brings the pool to `shape`, the workers of each slot; the largest slots get the largest sizes.

        A slot grows between two steps of its trial. A slot that still waits for workers is restarted when its size
        changes, as the room for its old size may never come. Of surplus slots, those that wait for workers end first
        and at once, and their trials continue in other slots. The others end as soon as they are idle: `size` lets no
        further trial start meanwhile, and the slot whose trial ends first goes. Without any worker in the shape, all
        slots end after their trials, and the next trial waits for one parked slot. A closed pool stays closed.
        """
        with self._lock:
            if self._closed:
                return
            found = dict(zip(self._slots, ask(list(self._slots.values())), strict=True))
            sizes = sorted(filter(None, shape), reverse=True)
            self._target = max(1, len(sizes))
            free = (index for index in itertools.count() if index not in self._slots)
            if not sizes:
                # The parked slot comes before the others go: trials of a pool without slots would fail.
                if all(self._workers[index] for index in found):
                    self._start(next(free), 0)
                surplus = [index for index in found if self._workers[index]]
            else:
                surplus = [index for index in surplus_slots(found, len(found) - len(sizes)) if not _busy(found[index])]
            for index in surplus:
                self._drain(index, found.pop(index))
            for index, workers in zip(sorted(found, key=lambda index: -self._size(index, found)), sizes, strict=False):
                self._fit(index, found[index], workers)
            for workers in sizes[len(found) :]:
                self._start(next(free), workers)
            self._draining = _end(self._draining, 0)

    def look(self) -> PoolState:
        """The state of the pool now. A slot waits for room if it did so at the last look as well."""
        # A closed slot whose workers have left is as good as gone.
        found = [s for s in self.status() if s is None or s.serving or s.state != "closed"]
        known = [status for status in found if status is not None]
        serving = [status for status in known if status.serving]
        parked = sum(status.workers == 0 for status in known)
        refused = sum(bool(status.no_room) for status in known)
        self._num_waiting = self._num_without_room(len(found) - len(serving) - parked, len(serving), refused)
        waiting = parked + self._num_waiting
        return PoolState(
            serving=len(serving),
            workers=sum(status.workers for status in serving),
            waiting=waiting,
            starting=len(found) - len(serving) - waiting,
            stepped=frozenset(status.trial for status in known if status.stepped and status.trial is not None),
        )

    def waits_for(self) -> str:
        """What the smallest slot asks for, beside what is free in the cluster."""
        with self._lock:
            sizes = [self._workers[index] for index in self._slots]
        return waiting_message(max(1, min(sizes, default=1)), self._spec.resources)

    def _num_without_room(self, unserved: int, serving: int, refused: int) -> int:
        """How many of the `unserved` slots wait for room; `refused` of them have seen a Train run give up on it.

        A placement group counts if it waited at the last look as well, since each new one waits for a moment. A slot
        that waited keeps waiting until its group has room, also between two Train runs.
        """
        if not unserved:
            self._without_room = set()
            return 0
        try:
            now, placed = placement_groups.waiting_groups(ray.get_runtime_context().get_job_id(), self._spec.resources)
        except RayStateApiException:
            # The dashboard is busy; the next look asks again.
            return min(unserved, self._num_waiting)
        before, self._without_room = self._without_room, now
        waiting = max(refused, len(before & now))
        without_room = max(0, unserved - max(0, placed - serving))
        return min(unserved, max(waiting, min(self._num_waiting, without_room)))

    def status(self) -> list[SlotStatus | None]:
        """The status of every slot, also of closing ones; None for a slot that does not answer."""
        return [status for _, status in statuses(self.ref)]

    def close(self, grace_s: float = CLOSE_S) -> None:
        """Stops the trials in progress at their next step, or kills them after `grace_s`; frees all resources."""
        with self._lock:
            self._closed = True
            slots = [*self._slots.values(), *self._draining]
            self._slots, self._draining = {}, []
        closing = []
        for slot, status in zip(slots, ask(slots), strict=True):
            if status is None or status.serving:
                slot.close.remote()
                closing.append(slot)
            else:
                # Its Train run waits for workers, and would keep waiting for the whole grace time.
                ray.kill(slot, no_restart=True)
        for slot in _end(closing, grace_s):
            ray.kill(slot, no_restart=True)
        if slots:
            self._free_groups(grace_s)

    def _free_groups(self, within_s: float) -> None:
        job_id, spec = ray.get_runtime_context().get_job_id(), self._spec
        try:
            placement_groups.remove_all(job_id, spec.resources, within_s)
        except RayStateApiException:
            logger.warning("placement groups of ended slots could not be listed", exc_info=True)

    def _drain(self, index: int, found: SlotStatus | None) -> None:
        slot = self._slots.pop(index)
        if found is None or not found.serving:
            ray.kill(slot, no_restart=True)
        else:
            slot.close.remote(drain=True)
            self._draining.append(slot)

    def _size(self, index: int, found: Mapping[int, SlotStatus | None]) -> int:
        status = found[index]
        return self._workers[index] if status is None else status.workers

    def _fit(self, index: int, found: SlotStatus | None, workers: int) -> None:
        slot, has = self._slots[index], self._size(index, {index: found})
        if workers == has:
            return
        if found is None or not found.serving:
            # The new slot comes before the old one goes: trials of a pool without slots would fail.
            self._start(index, workers)
            ray.kill(slot, no_restart=True)
        elif workers > has:
            self._workers[index] = workers
            slot.resize.remote(workers)

    def _start(self, index: int, workers: int) -> None:
        name = f"{self.ref.prefix}slot-{index}-{uuid.uuid4().hex[:4]}"
        # Retried calls are safe: each carries a token or group, which a restarted slot does not know.
        actor = ray.remote(Slot).options(
            name=name,
            namespace=self.ref.namespace,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=3,
            max_concurrency=SLOT_THREADS,
            # Train's cleaner inherits it. On a machine with two clusters the cleaner would find neither by itself, and
            # the workers of a lost controller would keep their resources.
            runtime_env={"env_vars": {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}},
        )
        self._slots[index] = actor.remote(name, self.ref.namespace, self._spec, workers, self._watch_preemption)
        self._workers[index] = workers


def _busy(status: SlotStatus | None) -> bool:
    return status is not None and status.serving and status.state != "idle"


def _end(slots: list[Any], grace_s: float) -> list[Any]:
    """Ends the closed slots whose Train run is over within the time; returns the others."""
    asked = {slot.ended.remote(grace_s): slot for slot in slots}
    if not asked:
        return []
    ended, pending = ray.wait(list(asked), num_returns=len(asked), timeout=grace_s + 1)
    left = [asked[ref] for ref in pending]
    for ref in ended:
        try:
            over = ray.get(ref)
        except ray.exceptions.RayActorError:
            over = True
        if over:
            ray.kill(asked[ref], no_restart=True)
        else:
            left.append(asked[ref])
    return left
