"""The owner's side of a slot: lease it, run a trial in it, get every epoch once, whatever happens to the slot."""

import os
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import RayActorError

from orchestrator.slots.failures import Failure, decide
from orchestrator.slots.messages import Assignment, EpochResult, Finished, Moved, PoolRef, SlotError, SlotStatus

HEARTBEAT_S = 2.0
NEXT_S = 5.0
STATUS_S = 1.0
POLL_S = (0.05, 0.5)


def acquire(
    pool: PoolRef,
    owner: str,
    timeout_s: float | None = None,
    like: "Lease | None" = None,
    cancelled: Callable[[], bool] = bool,  # never
) -> "Lease":
    """Leases the first slot that is free; waits for one where all are taken.

    `like`, an earlier lease, has its slot tried first: one call, where looking for a free one asks every slot.

    Raises SlotError when the pool has no slots, when none of them can start, or after `timeout_s`, and CancelledError
    once `cancelled` says so, here or where the lease later waits for another slot.
    """
    owner_id = f"{owner} ({uuid.uuid4().hex})"
    token = _try(like._slot, owner_id) if like is not None else None
    slot, token = (like._slot, token) if like is not None and token else _acquire(pool, owner_id, timeout_s, cancelled)
    return Lease(pool, owner, slot, token, cancelled)


class Lease:
    """One trial's claim on a slot. Used from one thread, `stop` from any; also a context manager that releases."""

    def __init__(self, pool: PoolRef, owner: str, slot: Any, token: str, cancelled: Callable[[], bool]) -> None:
        self._pool, self._owner, self._slot, self._token = pool, owner, slot, token
        self._cancelled = cancelled
        self._job: Assignment | None = None
        self._stopped = False
        self._released = threading.Event()
        # The slot frees itself when these cease: its owner's process has died.
        threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True).start()

    def start(self, job: Assignment) -> None:
        """Starts the trial; it goes on from its newest checkpoint where it has one."""
        self._job = job
        try:
            ray.get(self._slot.start.remote(self._token, job))
        except RayActorError:
            # `next` finds the lease lost and starts the trial in another slot.
            return

    def next(self) -> EpochResult | Finished:
        """Waits for the next epoch or the end. A lost slot is replaced, which counts as one of the trial's failures."""
        job = self._started()
        while True:
            try:
                message = ray.get(self._slot.next.remote(self._token, NEXT_S))
            except RayActorError:
                message = "lost"
            if isinstance(message, EpochResult):
                self._job = replace(job, epochs_known=message.epoch, failures=message.failures)
                return message
            if isinstance(message, Finished):
                return message
            if isinstance(message, Moved):
                self._job = job = replace(job, failures=message.failures)
                if self._stopped:
                    return Finished("stopped")
                self._go_on(job)
            if message == "lost":
                lost = self._replace_slot()
                if lost is not None:
                    return lost
                job = self._started()

    def stop(self, at_once: bool = False) -> None:
        """Asks for the trial's end after the epoch in progress, or after the step with a checkpoint of it; `next` then
        gives `Finished`."""
        self._stopped = True
        self._slot.stop.remote(self._token, at_once)

    def release(self) -> None:
        """Gives the slot back without waiting for the workers to leave the trial."""
        if self._released.is_set():
            return
        self._released.set()
        try:
            ray.get(self._slot.release.remote(self._token), timeout=STATUS_S)
        except (RayActorError, ray.exceptions.GetTimeoutError):
            # A slot that cannot hear this frees itself: the heartbeats have ceased.
            return

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _started(self) -> Assignment:
        assert self._job is not None, "start(job) comes before next()"
        return self._job

    def _replace_slot(self) -> Finished | None:
        job = self._started()
        if self._stopped:
            return Finished("stopped")
        lost = Failure("slot_lost", "its slot's own process was lost", epoch=job.epochs_known)
        failures = (*job.failures, lost)
        verdict = decide(failures, job.max_failures)
        if not verdict.retry:
            return Finished("failed", verdict.reason, verdict.kind)
        self._go_on(replace(job, failures=failures))
        return None

    def _go_on(self, job: Assignment) -> None:
        """In another slot."""
        owner_id = f"{self._owner} ({uuid.uuid4().hex})"
        self._slot, self._token = _acquire(self._pool, owner_id, None, self._cancelled)
        self.start(job)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            self._slot.heartbeat.remote(self._token)


def statuses(pool: PoolRef, timeout_s: float = STATUS_S) -> list[tuple[Any, SlotStatus | None]]:
    """Every slot of the pool with its status; None for one that does not answer in time."""
    slots = [
        slot
        for entry in sorted(ray.util.list_named_actors(all_namespaces=True), key=lambda entry: entry["name"])
        if entry["namespace"] == pool.namespace and entry["name"].startswith(pool.prefix)
        if (slot := _named(entry["name"], pool.namespace)) is not None
    ]
    return list(zip(slots, ask(slots, timeout_s), strict=True))


def _named(name: str, namespace: str) -> Any | None:
    """The actor; None for one that has been ended since it was listed, as by a pool that shrinks."""
    try:
        return ray.get_actor(name, namespace=namespace)
    except ValueError:
        return None


def ask(slots: list[Any], timeout_s: float = STATUS_S) -> list[SlotStatus | None]:
    """The status of each slot; None for one that does not answer in time."""
    asked = [slot.status.remote() for slot in slots]
    answered = set(ray.wait(asked, num_returns=len(asked), timeout=timeout_s)[0]) if asked else set()
    found: list[SlotStatus | None] = []
    for ref in asked:
        try:
            found.append(ray.get(ref) if ref in answered else None)
        except RayActorError:
            found.append(None)
    return found


def _acquire(pool: PoolRef, owner: str, timeout_s: float | None, cancelled: Callable[[], bool]) -> tuple[Any, str]:
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    wait_s, longest_s = POLL_S
    while not cancelled():
        slots = statuses(pool)
        for slot, status in slots:
            if status is not None and status.state == "idle":
                token = _try(slot, owner)
                if token is not None:
                    return slot, token
        known = [status for _, status in slots if status is not None]
        if all(status is not None for _, status in slots) and all(s.state in ("broken", "closed") for s in known):
            reasons = sorted({status.failure for status in known if status.failure})
            raise SlotError(
                f"no slot can serve {owner}: "
                + (f"the workers do not start ({'; '.join(reasons)})" if reasons else "the pool is closed")
                + "; check resources.workers_per_trial, cpus_per_worker and gpus_per_worker against `aib doctor`."
            )
        if deadline_s is not None and time.monotonic() > deadline_s:
            states = ", ".join(status.state if status is not None else "unreachable" for _, status in slots)
            raise SlotError(f"no slot was free for {owner} within {timeout_s} s (slots: {states}).")
        time.sleep(wait_s)
        wait_s = min(longest_s, 1.5 * wait_s)
    raise CancelledError


def _try(slot: Any, owner: str) -> str | None:
    """A token for the slot, if it is free and answers."""
    try:
        token: str | None = ray.get(slot.lease.remote(owner), timeout=STATUS_S)
    except (RayActorError, ray.exceptions.GetTimeoutError):
        return None
    return token


def this_process() -> str:
    """This process as an owner's name."""
    return f"pid {os.getpid()} on {ray.util.get_node_ip_address()}"
