"""Which losses of workers are retried, and how their causes are distinguished."""

import pytest
import torch
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayActorError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError

from orchestrator.slots.failures import MAX_BY_CLUSTER, Cause, Failure, cause_line, decide, failure_of_group
from trainables.errors import CheckpointError, DataError, DivergedError, StorageError


def died(cause: Cause, times: int = 1, epoch: int = 7) -> list[Failure]:
    return [Failure(cause, f"it was {cause}", epoch=epoch)] * times


@pytest.mark.parametrize(
    ("failures", "max_failures", "retry"),
    [
        (died("crash"), 2, True),
        (died("crash", 2), 2, True),
        (died("crash", 3), 2, False),
        (died("crash"), 0, False),
        (died("hang", 2) + died("crash"), 2, False),
        (died("out_of_memory"), 5, True),
        (died("out_of_memory", 2), 5, False),
        (died("out_of_memory"), 0, False),
        (died("out_of_memory") + died("crash"), 5, True),
        (died("node_lost"), 0, True),
        (died("preempted", 5) + died("node_lost", 5), 0, True),
        (died("preempted", 100, epoch=6) + died("preempted"), 0, True),
        (died("crash", 2) + died("preempted"), 2, True),
        (died("preempted", 3) + died("crash"), 1, True),
        (died("slot_lost", MAX_BY_CLUSTER), 0, True),
        (died("preempted", MAX_BY_CLUSTER) + died("node_lost"), 9, False),
    ],
)
def test_losses_are_counted_by_cause(failures: list[Failure], max_failures: int, retry: bool) -> None:
    verdict = decide(failures, max_failures)
    assert verdict.retry is retry
    if not retry:
        assert f"lost its workers {len(failures)} times" in verdict.reason
        assert "last after epoch 7" in verdict.reason
        assert failures[-1].text in verdict.reason


def test_an_error_of_the_science_on_one_rank_is_not_repeated() -> None:
    failure = failure_of_group({0: RuntimeError("Connection closed by peer"), 1: DataError("image 7 is no image")})
    verdict = decide([failure], 9)
    assert (verdict.retry, verdict.kind) == (False, "DataError")
    assert "rank 1: DataError: image 7 is no image" in verdict.reason


def test_memory_names_the_fields_to_change() -> None:
    verdict = decide(died("out_of_memory", 2), 2)
    assert verdict.kind == "OutOfMemory"
    assert "optim.batch_size" in verdict.reason


def actor_died(text: str) -> RayActorError:
    error = ActorDiedError()
    error.error_msg = text
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (OutOfMemoryError("1 worker(s) were killed due to the node running low on memory."), "out_of_memory"),
        (actor_died("The actor is dead because its worker process has died."), "crash"),
        (actor_died("The actor died because its node has died. Node Id: 12ab"), "node_lost"),
        (ActorUnavailableError("The actor is temporarily unavailable", b"0" * 16), "node_lost"),
        (RayActorError(preempted=True), "preempted"),
        (WorkerHealthCheckTimeoutError("hanging for 700 s"), "hang"),
        (DivergedError("the loss is not finite"), "science"),
        (StorageError("s3://aib cannot be read"), "science"),
        (CheckpointError("storage shows it to one node before another"), "crash"),
        (ZeroDivisionError("a bug"), "crash"),
    ],
)  # fmt: skip
def test_what_a_worker_died_of_is_told_apart(error: Exception, cause: Cause) -> None:
    assert failure_of_group({0: error}).cause == cause
    assert failure_of_group({3: WorkerHealthCheckFailedError("A worker health check failed.", error)}).cause == cause


def test_ranks_that_fail_in_the_wake_of_another_do_not_hide_its_cause() -> None:
    errors = {0: RuntimeError("Connection closed by peer"), 1: OutOfMemoryError("killed, low on memory")}
    failure = failure_of_group(errors)
    assert failure.cause == "out_of_memory"
    assert (
        failure.text
        == "rank 0: RuntimeError: Connection closed by peer; rank 1: OutOfMemoryError: killed, low on memory"
    )


def test_the_line_that_says_why_an_actor_died_is_the_one_shown() -> None:
    lines = ("The actor died unexpectedly.", "\tpid: 7", "The actor is dead because its node has died.")
    assert cause_line(actor_died("\n".join(lines))) == "ActorDiedError: The actor is dead because its node has died."
