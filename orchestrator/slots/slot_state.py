"""What passes between one trial's owner and the workers that run it: the slot's rules, without Ray.

Three parties call it from threads of their own. The *owner* leases, starts a job and asks for epoch after epoch. The
*group* (rank 0 of the worker group) takes a job, reports each epoch and learns whether to stop. The *pool* closes it.
A group's name begins with the name of its Train run; calls of a group that was replaced are answered with "leave".
"""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.slots.failures import Failure, decide
from orchestrator.slots.messages import Assignment, EpochResult, Finished, Moved, SlotState, SlotStatus

OWNER_TIMEOUT_S = 15.0
DECISION_WAIT_S = 5.0
FAILED_RUNS = 3
"""After so many Train runs in a row that no workers came of, a slot counts as broken: a call that the network dropped
ends one, but hardly three."""


@dataclass
class _Lease:
    token: str
    owner: str
    heard_s: float
    job: Assignment | None = None
    taken: bool = False
    """A worker group is running the job."""
    leaving: bool = False
    """Nobody waits for the job any more; the workers leave at their epoch's end."""
    stop: bool = False
    at_once: bool = False
    """Not even the epoch in progress is waited for."""
    passed: int = 0
    """The last epoch passed on."""
    failures: tuple[Failure, ...] = ()
    asking: int = 0
    """Calls of the owner that wait for an epoch."""
    reports: deque[EpochResult] = field(default_factory=deque)
    finished: Finished | None = None


class Mailbox:
    """One slot's lease, job and reports. Every method may be called from any thread; waits are bounded."""

    def __init__(
        self,
        *,
        owner_timeout_s: float = OWNER_TIMEOUT_S,
        decision_wait_s: float = DECISION_WAIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = threading.Condition()
        self._owner_timeout_s, self._decision_wait_s, self._clock = owner_timeout_s, decision_wait_s, clock
        self._lease: _Lease | None = None
        self._run, self._group, self._idle = "", "", False
        self._serving = False
        self._closing: Literal["", "drain", "now"] = ""
        self._failure, self._failed_runs, self._no_room = "", 0, ""
        self._loss: Failure | None = None
        """Why the present group is lost, until its successor counts it: the first thing that was said of it."""
        self._last_put_s = 0.0
        self._away: str | None = None
        """A group that is to leave its nodes."""
        self._moving = False
        self._met: set[int] = set()
        self._groups_lost = 0

    # The owner's side.

    def lease(self, owner: str) -> str | None:
        """A token for a slot whose workers wait for a trial; None if they don't. The same owner gets the same token,
        so that a repeated call is harmless."""
        with self._changed:
            self._expire()
            if self._lease is not None:
                return self._lease.token if self._lease.owner == owner and not self._lease.leaving else None
            if not self._idle or self._closing or self._moving:
                return None
            self._lease = _Lease(uuid.uuid4().hex, owner, self._clock())
            return self._lease.token

    def start(self, token: str, job: Assignment) -> bool:
        """Hands the job to the workers; False if the lease is lost. A lease has one job."""
        with self._changed:
            lease = self._owned(token)
            if lease is None:
                return False
            if lease.job is None:
                lease.job, lease.passed, lease.failures = job, job.epochs_known, job.failures
                self._changed.notify_all()
            return True

    def next(self, token: str, timeout_s: float) -> EpochResult | Finished | Moved | Literal["wait", "lost"]:
        """The next epoch, each exactly once, or the trial's end, or its move; "wait" if there is none of them yet."""
        with self._changed:
            lease = self._owned(token)
            if lease is None:
                return "lost"
            lease.asking += 1
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: (
                    bool(lease.reports)
                    or lease.finished is not None
                    or lease is not self._lease
                    or (self._moving and self._has_job())
                ),
                timeout_s,
            )
            lease.asking -= 1
            if lease is not self._lease:
                return "lost"
            if lease.reports:
                return lease.reports.popleft()
            if self._moving and self._has_job():
                self._lease = None
                return Moved(lease.failures)
            return lease.finished or "wait"

    def stop(self, token: str, at_once: bool = False) -> bool:
        """Asks the workers to leave the trial at their epoch's end, or at the next step with a checkpoint; the owner
        still gets `Finished`."""
        with self._changed:
            lease = self._owned(token)
            if lease is not None:
                lease.stop, lease.at_once = True, lease.at_once or at_once
                self._changed.notify_all()
            return lease is not None

    def release(self, token: str) -> None:
        """Gives the slot back at once; workers in mid-trial leave at their epoch's end and are then free."""
        with self._changed:
            lease = self._owned(token)
            if lease is not None:
                self._let_go(lease)

    def heartbeat(self, token: str) -> bool:
        """The owner is alive; False if it has lost the lease."""
        with self._changed:
            return self._owned(token) is not None

    # The workers' side.

    def take(self, group: str, timeout_s: float) -> Assignment | Literal["wait", "close"]:
        """The next job for an idle group. A new group's first call, with a job in progress, is that job's failure."""
        with self._changed:
            if not self._of_this_run(group):
                return "close"
            if group != self._group:
                reclaimed = self._away == self._group
                self._group = group
                self._group_replaced(reclaimed)
            self._idle, self._serving, self._failed_runs, self._no_room = True, True, 0, ""
            self._changed.wait_for(
                lambda: self._has_job() or self._may_end() or group != self._group, max(0.0, timeout_s)
            )
            self._expire()
            if group != self._group or self._may_end():
                self._idle = False
                return "close"
            lease = self._lease
            if lease is None or lease.job is None or not self._has_job():
                return "wait"
            self._idle, lease.taken, self._met, self._last_put_s = False, True, set(), self._clock()
            return replace(lease.job, epochs_known=lease.passed, failures=lease.failures)

    def put(self, group: str, epoch: int, metrics: dict[str, float]) -> bool:
        """Takes an epoch's report; True tells the group to leave the trial.

        Answers as soon as the owner asks for the next epoch, so that an early stop decided on this report costs no
        further epoch; a silent owner is waited for no longer than the epoch itself took (at most decision_wait_s).
        """
        with self._changed:
            lease = self._running(group)
            if lease is None or lease.job is None:
                return True
            took_s = self._clock() - self._last_put_s
            if epoch > lease.passed:
                lease.passed = epoch
                lease.reports.append(EpochResult(epoch, metrics, lease.failures))
                self._changed.notify_all()
            if epoch < lease.job.epochs:
                self._changed.wait_for(
                    lambda: lease.stop or (lease.asking > 0 and not lease.reports), min(took_s, self._decision_wait_s)
                )
            self._expire()
            self._last_put_s = self._clock()
            return lease.stop or self._running(group) is not lease

    def end(self, group: str, finished: Finished) -> None:
        """The group has left the trial."""
        with self._changed:
            lease = self._running(group)
            if lease is not None:
                self._finish(lease, finished)

    def leave(self, group: str) -> None:
        """The group was called away and has saved its trial, which the next group goes on with: no failure."""
        with self._changed:
            lease = self._running(group)
            if lease is not None and (lease.stop or lease.finished is not None):
                self._finish(lease, lease.finished or Finished("stopped"))
            elif lease is not None:
                lease.taken = False
                self._changed.notify_all()

    def called_away(self, group: str) -> bool:
        """Whether the group is to leave at its next step: its nodes go, or nobody waits for its trial's epoch."""
        with self._changed:
            lease = self._running(group)
            goes = self._moving or self._closing == "now" or group == self._away
            return goes or (lease is not None and lease.at_once)

    def agree(self, group: str, rank: int, world_size: int, timeout_s: float) -> bool:
        """Whether every rank of the group calls this within the time: an error that all ranks raised together."""
        with self._changed:
            if group != self._group:
                return False
            self._met.add(rank)
            self._changed.notify_all()
            met = self._met
            return self._changed.wait_for(lambda: len(met) == world_size, timeout_s)

    def group_lost(self, run: str, failure: Failure) -> None:
        """Why a worker group of a run has just failed; its successor's `take` counts it."""
        with self._changed:
            if run == self._run:
                self._idle, self._serving = False, False
                self._lost(failure)

    # The slot's and the pool's side.

    def run_started(self) -> str:
        """Names a new Train run; groups of earlier runs are turned away from here on."""
        with self._changed:
            self._run, self._idle, self._serving = uuid.uuid4().hex, False, False
            return self._run

    def run_failed(self, failure: str, no_room: bool = False) -> None:
        """A Train run ended with an error; the slot starts another one. `no_room`: others have what its workers need,
        or the nodes that had it are gone. That passes, however often it takes another run, and breaks no slot."""
        with self._changed:
            self._idle, self._serving = False, False
            self._failed_runs += not no_room
            self._no_room = failure if no_room else ""
            self._lost(Failure("slot_lost", failure))
            self._failure = failure
            if self._moving:
                # No other group will come and count it.
                self._group_replaced(reclaimed=True)

    def call_away(self, group: str) -> None:
        """The group leaves its trial at the next step, with a checkpoint, and its nodes; another one goes on."""
        with self._changed:
            self._away = group
            self._changed.notify_all()

    def move(self) -> None:
        """The slot's own node is about to go: nobody gets it any more, the group is called away and not replaced, and
        the owner takes its trial to another slot."""
        with self._changed:
            self._moving = True
            self._changed.notify_all()

    @property
    def deserted(self) -> bool:
        """Whether a moving slot's owner has left it."""
        with self._changed:
            self._expire()
            return self._moving and self._lease is None

    def close(self, drain: bool = False) -> None:
        """No new leases; a trial in progress is stopped, or with `drain` finished first."""
        with self._changed:
            self._closing = "drain" if drain and self._closing != "now" else "now"
            lease = self._lease
            if lease is not None and not drain:
                lease.stop = True
                if self._has_job():
                    self._finish(lease, Finished("stopped"))
            self._changed.notify_all()

    def status(self) -> SlotStatus:
        with self._changed:
            self._expire()
            lease = self._lease
            state: SlotState = "starting"
            if self._closing:
                state = "closed"
            elif lease is not None:
                state = "leaving" if lease.leaving else "leased"
            elif self._idle and not self._moving:
                state = "idle"
            elif self._failed_runs >= FAILED_RUNS:
                state = "broken"
            trial = lease.job.trial if lease is not None and lease.job is not None else None
            epoch = lease.passed if lease else 0
            return SlotStatus(
                state, trial, epoch, self._failure, self._serving, self._groups_lost, no_room=self._no_room
            )

    # What follows is called with the lock held.

    def _owned(self, token: str) -> _Lease | None:
        self._expire()
        lease = self._lease
        if lease is None or lease.token != token or lease.leaving:
            return None
        lease.heard_s = self._clock()
        return lease

    def _expire(self) -> None:
        lease = self._lease
        if lease is not None and not lease.leaving and self._clock() - lease.heard_s > self._owner_timeout_s:
            self._let_go(lease)

    def _let_go(self, lease: _Lease) -> None:
        lease.stop = lease.leaving = True
        if not lease.taken:
            self._lease = None
        self._changed.notify_all()

    def _of_this_run(self, group: str) -> bool:
        return group.split("/", maxsplit=1)[0] == self._run

    def _running(self, group: str) -> _Lease | None:
        lease = self._lease
        return lease if group == self._group and lease is not None and lease.taken else None

    def _has_job(self) -> bool:
        lease = self._lease
        return lease is not None and lease.job is not None and not lease.taken and lease.finished is None

    def _may_end(self) -> bool:
        if self._closing == "now" or self._moving or self._away == self._group:
            return True
        return self._closing == "drain" and not self._has_job()

    def _lost(self, failure: Failure) -> None:
        self._loss = self._loss or failure
        self._failure = self._loss.text

    def _group_replaced(self, reclaimed: bool) -> None:
        self._met = set()
        loss, self._loss = self._loss or Failure("crash", "its worker group died"), None
        if reclaimed:
            loss = Failure("preempted", f"its node was reclaimed before the workers had left it ({loss.text})")
        lease = self._lease
        if lease is None or lease.job is None or not lease.taken:
            return
        self._groups_lost += 1
        lease.failures = (*lease.failures, loss._replace(epoch=lease.passed))
        verdict = decide(lease.failures, lease.job.max_failures)
        if lease.stop:
            self._finish(lease, Finished("stopped"))
        elif not verdict.retry:
            self._finish(lease, Finished("failed", verdict.reason, verdict.kind))
        else:
            lease.taken = False
            self._changed.notify_all()

    def _finish(self, lease: _Lease, finished: Finished) -> None:
        lease.finished, lease.taken = finished, False
        if lease.leaving:
            self._lease = None
        self._changed.notify_all()
