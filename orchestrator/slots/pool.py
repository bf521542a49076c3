"""A pool of slots, as many as the cluster holds. The driver starts and closes it; all find it through its `ref`."""

import itertools
import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import ray
from ray.util.state.exception import RayStateApiException

from orchestrator.ray_cluster.nodes import wanting
from orchestrator.slots import placement_groups
from orchestrator.slots.client import ask, statuses
from orchestrator.slots.messages import PoolRef, SlotStatus
from orchestrator.slots.slot import Slot
from orchestrator.slots.slot_state import OWNER_TIMEOUT_S
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker import Fit, fit_trial

CLOSE_S = 20.0
SLOT_THREADS = 64
"""Calls a slot answers at a time: one take, one next, and short ones of everybody who looks for a free slot."""

logger = logging.getLogger(__name__)


class SlotPool:
    """Context manager. Slots start at the same time and can be leased as soon as each is ready."""

    def __init__(
        self,
        shape: Sequence[int],
        *,
        cpus_per_worker: float,
        gpus_per_worker: float = 0,
        storage: Path | None,
        placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK",
        trials_per_slot: int | None = None,
        fit: Fit = fit_trial,
        owner_timeout_s: float = OWNER_TIMEOUT_S,
        start_timeout_s: float = 120,
        hang_timeout_s: float | None = None,
    ) -> None:
        """`shape`: the workers of each slot."""
        self._shape = tuple(shape)
        alive = [node for node in ray.nodes() if node["Alive"]]
        self._spec = SlotSpec(
            workers=1,
            cpus_per_worker=cpus_per_worker,
            gpus_per_worker=gpus_per_worker,
            storage=storage and storage.absolute(),
            placement=placement,
            trials_per_slot=trials_per_slot,
            fit=fit,
            owner_timeout_s=owner_timeout_s,
            start_timeout_s=start_timeout_s,
            # A machine of its own has no other node to be moved to.
            watch_preemption=len(alive) > 1,
            hang_timeout_s=hang_timeout_s,
        )
        self.ref = PoolRef(f"aib-slots-{uuid.uuid4().hex[:8]}:", ray.get_runtime_context().namespace)
        # A pool is resized from a thread of its own (`elastic`).
        self._lock = threading.Lock()
        self._closed = False
        self._slots: dict[int, Any] = {}
        self._workers: dict[int, int] = {}
        self._leaving: list[Any] = []

    def __enter__(self) -> "SlotPool":
        self.resize(self._shape)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Slots that take trials; those that only finish the one they have are not counted."""
        return len(self._slots)

    def resize(self, shape: Sequence[int]) -> None:
        """Brings the pool to slots of so many workers each, the larger ones to where slots are large already.

        A slot grows between two steps of its trial. One that waits for more workers than it is to have is started anew,
        as what it waits for may never come. Slots too many take no further trial and end with the one they have; those
        that wait for workers go first, and at once, and their trials go on in other slots. A closed pool stays closed.
        """
        with self._lock:
            if self._closed:
                return
            found = dict(zip(self._slots, ask(list(self._slots.values())), strict=True))
            too_many = max(0, len(found) - len(shape))
            for index in sorted(found, key=lambda index: (_worth(found[index]), -index))[:too_many]:
                self._let_go(index, found.pop(index))
            sizes = sorted(shape, reverse=True)
            for index, workers in zip(sorted(found, key=lambda index: -self._size(index, found)), sizes, strict=False):
                self._fit(index, found[index], workers)
            free = (index for index in itertools.count() if index not in self._slots)
            for workers in sizes[len(found) :]:
                self._start(next(free), workers)
            self._leaving = _end(self._leaving, 0)

    def crowded(self) -> str | None:
        """What the smallest slot to be started asks for, where nobody has left so much free; None where it may fit."""
        free, workers = ray.available_resources(), min(self._shape)
        if all(free.get(name, 0) >= workers * amount for name, amount in self._spec.resources.items()):
            return None
        return wanting(workers, self._spec.resources)

    def status(self) -> list[SlotStatus | None]:
        """Of every slot, those that are closing included; None for one that does not answer."""
        return [status for _, status in statuses(self.ref)]

    def close(self, grace_s: float = CLOSE_S) -> None:
        """Stops the trials in progress at their epoch's end, or kills them after `grace_s`; frees all resources."""
        with self._lock:
            self._closed = True
            slots = [*self._slots.values(), *self._leaving]
            self._slots, self._leaving = {}, []
        closing = []
        for slot, status in zip(slots, ask(slots), strict=True):
            if status is None or status.serving:
                slot.close.remote()
                closing.append(slot)
            else:
                # Its Train run waits for workers, and would wait on for the whole grace time.
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
            logger.warning("placement groups of ended slots could not be looked for", exc_info=True)

    def _let_go(self, index: int, found: SlotStatus | None) -> None:
        slot = self._slots.pop(index)
        if found is None or not found.serving:
            ray.kill(slot, no_restart=True)
        else:
            slot.close.remote(drain=True)
            self._leaving.append(slot)

    def _size(self, index: int, found: Mapping[int, SlotStatus | None]) -> int:
        status = found[index]
        return self._workers[index] if status is None else status.workers

    def _fit(self, index: int, found: SlotStatus | None, workers: int) -> None:
        slot, has = self._slots[index], self._size(index, {index: found})
        if workers == has:
            return
        if found is None or not found.serving:
            # The new one is there before the old one goes: a pool without slots would turn its trials away.
            self._start(index, workers)
            ray.kill(slot, no_restart=True)
        elif workers > has:
            self._workers[index] = workers
            slot.resize.remote(workers)

    def _start(self, index: int, workers: int) -> None:
        name = f"{self.ref.prefix}slot-{index}-{uuid.uuid4().hex[:4]}"
        # Retried calls are safe: each is answered by token or group, which a restarted slot does not know.
        actor = ray.remote(Slot).options(
            name=name,
            namespace=self.ref.namespace,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=3,
            max_concurrency=SLOT_THREADS,
            # For Train's cleaner, which inherits it: on a machine with two clusters it would find neither by itself,
            # and the workers of a lost controller would keep their resources.
            runtime_env={"env_vars": {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}},
        )
        self._slots[index] = actor.remote(name, self.ref.namespace, replace(self._spec, workers=workers))
        self._workers[index] = workers


def _worth(status: SlotStatus | None) -> int:
    """What is lost with a slot: nothing without workers, warm workers, or those and a place for the next trial."""
    if status is None or not status.serving:
        return 0
    return 1 if status.trial is None else 2


def _end(slots: list[Any], grace_s: float) -> list[Any]:
    """Ends those closed slots whose Train run is over within the time; gives the others."""
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
