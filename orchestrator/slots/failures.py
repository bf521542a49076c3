"""Decides whether a trial that lost its workers gets new ones. A pure decision, counted by cause.

The trial's own faults (crash, hang, out_of_memory) share `max_failures_per_trial`. Out of memory is retried once at
most, since the same trial asks for the same memory. A training error is not retried, since the same values give the
same error. What the cluster does to a trial (a lost node, a preemption, a lost slot process) is not the trial's fault:
it may happen any number of times, but only `MAX_BY_CLUSTER` times between two epochs, or the trial would never end.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Cause = Literal["out_of_memory", "preempted", "node_lost", "science", "hang", "crash", "slot_lost"]

MAX_OUT_OF_MEMORY = 1
MAX_BY_CLUSTER = 10
"""Losses by the cluster between two epochs."""
OWN: frozenset[Cause] = frozenset({"crash", "hang", "out_of_memory"})
BY_CLUSTER: frozenset[Cause] = frozenset({"preempted", "node_lost", "slot_lost"})
KINDS: Mapping[Cause, str] = {
    "crash": "WorkersLost",
    "hang": "WorkersHung",
    "out_of_memory": "OutOfMemory",
    "preempted": "Preempted",
    "node_lost": "NodeLost",
    "slot_lost": "SlotLost",
}
ADVICE: Mapping[Cause, str] = {
    "out_of_memory": "lower optim.batch_size or evaluation.batch_size, or give each worker more of the machine with "
    "resources.cpus_per_worker",
    "hang": "if a single step may take this long, raise resources.hang_timeout_s",
}
NOT_RETRIED = ("DataError", "ConfigError", "DivergedError", "StorageError")
"""Training errors that a new worker group would only repeat. They arrive here if one rank alone raised them."""
_SEVERITY: tuple[Cause, ...] = ("out_of_memory", "preempted", "node_lost", "science", "hang", "crash")
_OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError")
_NO_MEMORY_TEXTS = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "std::bad_alloc")


class Failure(NamedTuple):
    """One loss of a trial's workers."""

    cause: Cause
    text: str
    error: str = ""
    """Type name of the error, if the training raised it."""
    epoch: int = 0
    """The last epoch before the loss."""

    @property
    def kind(self) -> str:
        return self.error if self.cause == "science" else KINDS[self.cause]


class Verdict(NamedTuple):
    """Whether to retry the trial, or else why it has failed."""

    retry: bool
    reason: str = ""
    kind: str = ""


def decide(failures: Sequence[Failure], max_failures: int) -> Verdict:
    """Whether a trial continues after its latest loss."""
    last = failures[-1]
    counts = {cause: sum(failure.cause == cause for failure in failures) for cause in KINDS}
    own = sum(counts[cause] for cause in OWN)
    by_cluster = sum(failure.cause in BY_CLUSTER and failure.epoch == last.epoch for failure in failures)
    retry = (
        last.cause != "science"
        and (last.cause not in OWN or own <= max_failures)
        and counts["out_of_memory"] <= MAX_OUT_OF_MEMORY
        and by_cluster <= MAX_BY_CLUSTER
    )
    if retry:
        return Verdict(True)
    if last.cause == "science":
        return Verdict(False, last.text, last.kind)
    times = ", ".join(f"{count} × {cause}" for cause, count in counts.items() if count)
    advice = f" ({ADVICE[last.cause]})" if last.cause in ADVICE else ""
    reason = f"lost its workers {len(failures)} times ({times}), last after epoch {last.epoch}: {last.text}{advice}"
    return Verdict(False, reason, last.kind)


def failure_of_group(errors: Mapping[int, BaseException]) -> Failure:
    """Why a worker group died, from the error of each failed rank.

    One cause stands for all ranks: after one rank is lost, the others fail in whatever they were waiting for.
    """
    found = {rank: _classify(error) for rank, error in sorted(errors.items())}
    cause, error = min(found.values(), key=lambda pair: _SEVERITY.index(pair[0]))
    return Failure(cause, "; ".join(f"rank {rank}: {cause_line(errors[rank])}" for rank in found), error)


def cause_line(error: BaseException, limit: int = 400) -> str:
    """Why a worker or a Train run ended, as one line for a status or a record. Ray states the reason last."""
    error = _of_worker(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Ray's first line says that an actor died, and its last line says why.
    detail = next((line for line in reversed(lines) if line.startswith("The actor ")), lines[0] if lines else "")
    return f"{type(error).__name__}: {detail}"[:limit]


def _classify(error: BaseException) -> tuple[Cause, str]:
    """Cause and type name, by the names of the error's types, without importing Ray or torch."""
    error = _of_worker(error)
    names = [kind.__name__ for kind in type(error).__mro__]
    text = str(error)
    if any(name in _OUT_OF_MEMORY for name in names) or any(part in text for part in _NO_MEMORY_TEXTS):
        return "out_of_memory", ""
    if "RayActorError" in names:
        if getattr(error, "preempted", False):
            return "preempted", ""
        gone = "its node has died" in text or "ActorUnavailableError" in names
        return ("node_lost" if gone else "crash"), ""
    if "WorkerHealthCheckTimeoutError" in names:
        return "hang", ""
    fatal = next((name for name in names if name in NOT_RETRIED), None)
    return ("science", fatal) if fatal else ("crash", "")


def _of_worker(error: Any) -> BaseException:
    """The worker's own error, if Ray Train wrapped it into a failed health check."""
    inner = getattr(error, "health_check_failure", None)
    return inner if isinstance(inner, BaseException) else error
