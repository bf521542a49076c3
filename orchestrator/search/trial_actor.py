"""A Tune trial: an actor that leases a slot, passes the slot's epochs on to Tune, and releases the slot.

It trains nothing and takes no CPU. A failed trial ends with a result that says so, not with an exception: the slot has
already retried what can be retried.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune

from orchestrator.slots.client import Lease, acquire, this_process
from orchestrator.slots.messages import Assignment, EpochResult, Finished, PoolRef, SlotError
from orchestrator.study.checkpoint_storage import TrialStorage
from trainables.config.trial import TrialConfig

_METRICS, _STATE, _FAILURE, _KIND = "epoch_metrics", "trial_state", "failure", "failure_kind"


def trial_resources() -> tune.PlacementGroupFactory:
    """The resources of a trial's actor: a thousandth of the driver's node resource, and no CPU.

    Tune refuses an empty request, and a CPU taken here would be missing for a worker. The node resource keeps the
    trials on the driver's node, so that the loss of a worker's node loses no trial.
    """
    return tune.PlacementGroupFactory([{f"node:{ray.util.get_node_ip_address()}": 0.001}])


def tune_config(trial: str, config: TrialConfig) -> dict[str, Any]:
    """The config that Tune keeps for a trial: its name and everything that decides its result."""
    return {"trial": trial, "config": config.to_dict()}


def epoch_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one epoch in a trial's result, without Tune's own entries; empty for a result without an epoch.

    Takes the result as the trial made it, and as Tune passes it to searchers: flattened, `epoch_metrics/NAME`.
    """
    prefix = f"{_METRICS}/"
    flat = {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
    return flat or dict(result.get(_METRICS) or {})


def trial_failure(result: Mapping[str, Any]) -> str:
    """Why the trial failed; empty if it did not."""
    return str(result.get(_FAILURE) or "")


def trial_failure_kind(result: Mapping[str, Any]) -> str:
    """The kind of failure, in one word (`Finished.kind`); empty if the trial did not fail."""
    return str(result.get(_KIND) or "")


class Trial(tune.Trainable):
    """For `tune.with_parameters(Trial, pool=..., storage=..., data_root=..., max_failures=...)`.

    Works with `reuse_actors=True`. Results hold the metrics by name, for the scheduler, and together, as
    `epoch_metrics`.
    """

    def setup(  # type: ignore[override]  # with_parameters passes the keywords that Tune's own signature lacks
        self, config: dict[str, Any], *, pool: PoolRef, storage: TrialStorage, data_root: Path, max_failures: int
    ) -> None:
        self._pool, self._checkpoints, self._data_root = pool, storage, data_root
        self._max_failures = max_failures
        self._lease: Lease | None = None
        self._last: Lease | None = None
        self._epoch = 0

    def step(self) -> dict[str, Any]:
        """The next epoch, if any; with the last one also the trial's end."""
        assignment = self._assignment()
        try:
            if self._lease is None:
                # Not in setup, where a wait for a free slot would keep Tune from handling other trials.
                self._lease = self._last = acquire(
                    self._pool, f"{assignment.trial}, {this_process()}", prefer=self._last
                )
                self._lease.start(assignment)
            message = self._lease.next()
        except SlotError as error:
            # A result, because after an exception Tune would restart this actor and then hide the cause.
            return self._end(Finished("failed", str(error), SlotError.__name__))
        if isinstance(message, Finished):
            return self._end(message)
        self._epoch = message.epoch
        result = _result(message)
        # The last epoch and the end are one result, so that no epoch is reported twice.
        return {**result, **self._end(self._lease.next())} if message.epoch >= assignment.epochs else result

    def cleanup(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.config, self._epoch = new_config, 0
        return True

    def _assignment(self) -> Assignment:
        return Assignment(
            trial=self.config["trial"],
            config=self.config["config"],
            checkpoints=self._checkpoints.of(self.config["trial"]),
            data_root=self._data_root,
            epochs_known=self._epoch,
            max_failures=self._max_failures,
        )

    def _end(self, message: EpochResult | Finished) -> dict[str, Any]:
        assert isinstance(message, Finished)
        self.cleanup()
        ended = {"done": True, _STATE: message.state}
        return {**ended, _FAILURE: message.reason, _KIND: message.kind} if message.state == "failed" else ended


def _result(report: EpochResult) -> dict[str, Any]:
    return {**report.metrics, "epoch": report.epoch, _METRICS: dict(report.metrics), _STATE: "running"}
