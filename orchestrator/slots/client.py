"""The owner's side of a slot: leases one, runs a trial in it, and gets every epoch once, even if the slot is lost."""

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
from orchestrator.slots.messages import (
    Assignment,
    EpochResult,
    Finished,
    PoolRef,
    SlotError,
    SlotPreempted,
    SlotStatus,
)

HEARTBEAT_S = 2.0
NEXT_S = 5.0
STATUS_S = 1.0
POLL_S = (0.05, 0.5)


def acquire(
    pool: PoolRef,
    owner: str,
    timeout_s: float | None = None,
    prefer: "Lease | None" = None,
    cancelled: Callable[[], bool] = bool,  # never
) -> "Lease":
    """Leases the first free slot; waits while all slots are taken.

    `prefer`: an earlier lease, whose slot is tried first. This takes one call; a search asks every slot.

    Raises SlotError if the pool has no slots, if none of them can start, or after `timeout_s`. Raises CancelledError
    once `cancelled()` is true, here or when the lease later waits for another slot.
    """
    owner_id = f"{owner} ({uuid.uuid4().hex})"
    if prefer is not None and (token := _try_lease(prefer._slot, owner_id)) is not None:
        return Lease(pool, owner, prefer._slot, token, cancelled)
    slot, token = _acquire(pool, owner_id, timeout_s, cancelled)
    return Lease(pool, owner, slot, token, cancelled)


class Lease:
    """One trial's claim on a slot; as a context manager it releases the slot at the end.

    Used from one thread; `stop` from any thread.
    """

    def __init__(self, pool: PoolRef, owner: str, slot: Any, token: str, cancelled: Callable[[], bool]) -> None:
        self._pool, self._owner, self._slot, self._token = pool, owner, slot, token
        self._cancelled = cancelled
        self._assignment: Assignment | None = None
        self._stopped = False
        self._released = threading.Event()
        # When the owner's process dies, the heartbeats stop and the slot frees itself.
        threading.Thread(target=self._send_heartbeats, name="lease-heartbeat", daemon=True).start()

    def start(self, assignment: Assignment) -> None:
        """Starts the trial, from its newest checkpoint if it has one."""
        self._assignment = assignment
        try:
            ray.get(self._slot.start.remote(self._token, assignment))
        except RayActorError:
            # `next` finds the lease lost and starts the trial in another slot.
            return

    def next(self) -> EpochResult | Finished:
        """Waits for the next epoch or the end. Replaces a lost slot, which counts as one of the trial's failures."""
        while (message := self.poll(NEXT_S)) is None:
            pass
        return message

    def poll(self, timeout_s: float) -> EpochResult | Finished | None:
        """As `next`; None if nothing came within the time. A slot that has to be replaced is waited for."""
        assignment = self._started()
        try:
            message = ray.get(self._slot.next.remote(self._token, timeout_s))
        except RayActorError:
            message = "lost"
        if isinstance(message, EpochResult):
            self._assignment = replace(assignment, epochs_known=message.epoch, failures=message.failures)
            return message
        if isinstance(message, Finished):
            return message
        if isinstance(message, SlotPreempted):
            self._assignment = replace(assignment, failures=message.failures)
            if self._stopped:
                return Finished("stopped")
            self._continue_elsewhere(self._assignment)
        return self._replace_lost_slot() if message == "lost" else None

    def stop(self, at_once: bool = False) -> None:
        """Ends the trial after the epoch in progress, or with `at_once` after the step, with a checkpoint of it.

        `next` then returns `Finished`.
        """
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
            # A slot that misses this call frees itself: the heartbeats have stopped.
            return

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _started(self) -> Assignment:
        assert self._assignment is not None, "start(assignment) comes before next()"
        return self._assignment

    def _replace_lost_slot(self) -> Finished | None:
        assignment = self._started()
        if self._stopped:
            return Finished("stopped")
        lost = Failure("slot_lost", "its slot's own process was lost", epoch=assignment.epochs_known)
        failures = (*assignment.failures, lost)
        verdict = decide(failures, assignment.max_failures)
        if not verdict.retry:
            return Finished("failed", verdict.reason, verdict.kind)
        self._continue_elsewhere(replace(assignment, failures=failures))
        return None

    def _continue_elsewhere(self, assignment: Assignment) -> None:
        """Continues the trial in another slot."""
        owner_id = f"{self._owner} ({uuid.uuid4().hex})"
        self._slot, self._token = _acquire(self._pool, owner_id, None, self._cancelled)
        self.start(assignment)

    def _send_heartbeats(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            self._slot.heartbeat.remote(self._token)


def statuses(pool: PoolRef, timeout_s: float = STATUS_S) -> list[tuple[Any, SlotStatus | None]]:
    """Every slot of the pool with its status; None for a slot that does not answer in time."""
    slots = [
        slot
        for entry in sorted(ray.util.list_named_actors(all_namespaces=True), key=lambda entry: entry["name"])
        if entry["namespace"] == pool.namespace and entry["name"].startswith(pool.prefix)
        if (slot := _named(entry["name"], pool.namespace)) is not None
    ]
    return list(zip(slots, ask(slots, timeout_s), strict=True))


def _named(name: str, namespace: str) -> Any | None:
    """The actor; None if it ended since it was listed, as in a pool that shrinks."""
    try:
        return ray.get_actor(name, namespace=namespace)
    except ValueError:
        return None


def ask(slots: list[Any], timeout_s: float = STATUS_S) -> list[SlotStatus | None]:
    """The status of each slot; None for a slot that does not answer in time."""
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
                token = _try_lease(slot, owner)
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


def _try_lease(slot: Any, owner: str) -> str | None:
    """A token for the slot, if the slot is free and answers."""
    try:
        token: str | None = ray.get(slot.lease.remote(owner), timeout=STATUS_S)
    except (RayActorError, ray.exceptions.GetTimeoutError):
        return None
    return token


def this_process() -> str:
    """This process, as the name of an owner."""
    return f"pid {os.getpid()} on {ray.util.get_node_ip_address()}"
