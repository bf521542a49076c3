"""A pool of slots, as many as the cluster holds. The driver starts and closes it; all find it through its `ref`."""

import logging
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import ray
from ray.util.state.exception import RayStateApiException

from orchestrator.slots import orphans
from orchestrator.slots.lease import ask, statuses
from orchestrator.slots.mailbox import OWNER_TIMEOUT_S
from orchestrator.slots.messages import PoolRef, SlotStatus
from orchestrator.slots.slot import Slot, SlotSpec
from orchestrator.slots.worker import Fit, fit_trial

CLOSE_S = 20.0
SLOT_THREADS = 64
"""Calls a slot answers at a time: one take, one next, and short ones of everybody who looks for a free slot."""

logger = logging.getLogger(__name__)


class SlotPool:
    """Context manager. Slots start at the same time and can be leased as soon as each is ready."""

    def __init__(
        self,
        num_slots: int,
        *,
        workers: int,
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
        self._wanted = num_slots
        alive = [node for node in ray.nodes() if node["Alive"]]
        self._spec = SlotSpec(
            workers=workers,
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
        self._leaving: list[Any] = []

    def __enter__(self) -> "SlotPool":
        self.resize(self._wanted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Slots that take trials; those that only finish the one they have are not counted."""
        return len(self._slots)

    def resize(self, num_slots: int) -> None:
        """Starts slots, or lets some go: they take no further trial and end with the one they have.

        Slots that wait for workers go first, and at once: what they wait for may never come, so their trials go on in
        other slots. A closed pool stays closed.
        """
        with self._lock:
            if self._closed:
                return
            for index in range(num_slots):
                if len(self._slots) < num_slots and index not in self._slots:
                    self._slots[index] = self._start(index)
            if len(self._slots) > num_slots:
                self._let_go(len(self._slots) - num_slots)
            self._leaving = _end(self._leaving, 0)

    def status(self) -> list[SlotStatus | None]:
        """Of every slot, those that are closing included; None for one that does not answer."""
        return [status for _, status in statuses(self.ref)]

    def close(self, grace_s: float = CLOSE_S) -> None:
        """Stops the trials in progress at their epoch's end, or kills them after `grace_s`; frees all resources."""
        with self._lock:
            self._closed = True
            slots = [*self._slots.values(), *self._leaving]
            self._slots, self._leaving = {}, []
        for slot in slots:
            slot.close.remote()
        for slot in _end(slots, grace_s):
            ray.kill(slot, no_restart=True)
        if slots:
            self._free_groups(grace_s)

    def _free_groups(self, within_s: float) -> None:
        job_id, spec = ray.get_runtime_context().get_job_id(), self._spec
        try:
            orphans.remove_all(job_id, spec.resources, spec.workers, within_s)
        except RayStateApiException:
            logger.warning("placement groups of ended slots could not be looked for", exc_info=True)

    def _let_go(self, count: int) -> None:
        indices = list(self._slots)
        status = dict(zip(indices, ask(list(self._slots.values())), strict=True))
        for index in sorted(indices, key=lambda index: (_worth(status[index]), -index))[:count]:
            slot, found = self._slots.pop(index), status[index]
            if found is None or not found.serving:
                ray.kill(slot, no_restart=True)
            else:
                slot.close.remote(drain=True)
                self._leaving.append(slot)

    def _start(self, index: int) -> Any:
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
        return actor.remote(name, self.ref.namespace, self._spec)


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
