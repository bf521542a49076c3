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
from orchestrator.slots.messages import PoolRef, SlotStatus
from orchestrator.slots.slot import Slot
from orchestrator.slots.spec import SlotSpec

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
        return len(self._slots)

    def resize(self, shape: Sequence[int]) -> None:
        """Brings the pool to `shape`, the workers of each slot; the largest slots get the largest sizes.

        A slot grows between two steps of its trial. A slot that still waits for workers is restarted when its size
        changes, as the room for its old size may never come. A surplus slot finishes its trial and then ends. Surplus
        slots that wait for workers end first and at once, and their trials continue in other slots. A closed pool stays
        closed.
        """
        with self._lock:
            if self._closed:
                return
            found = dict(zip(self._slots, ask(list(self._slots.values())), strict=True))
            surplus = max(0, len(found) - len(shape))
            for index in sorted(found, key=lambda index: (_worth(found[index]), -index))[:surplus]:
                self._drain(index, found.pop(index))
            sizes = sorted(shape, reverse=True)
            for index, workers in zip(sorted(found, key=lambda index: -self._size(index, found)), sizes, strict=False):
                self._fit(index, found[index], workers)
            free = (index for index in itertools.count() if index not in self._slots)
            for workers in sizes[len(found) :]:
                self._start(next(free), workers)
            self._draining = _end(self._draining, 0)

    def shortage(self) -> str | None:
        """What the smallest slot waits for, if the cluster has too little free for it; None if it may fit."""
        free, workers = ray.available_resources(), min(self._shape)
        if all(free.get(name, 0) >= workers * amount for name, amount in self._spec.resources.items()):
            return None
        return waiting_message(workers, self._spec.resources)

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


def _worth(status: SlotStatus | None) -> int:
    """How much is lost with a slot: 0 without workers, 1 with idle workers, 2 with workers in a trial."""
    if status is None or not status.serving:
        return 0
    return 1 if status.trial is None else 2


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
