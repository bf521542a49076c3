"""The Train run of a slot: a `TorchTrainer` whose worker group runs `worker.serve` on every rank.

Only the slot's own process imports this module. A process that looks up a slot by name loads the class `Slot` and its
imports; torch among them would double the start time of every trial's actor.
"""

from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer

from orchestrator.slots.failures import failure_of_group
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker import fit_trial, serve
from trainables.runtime.node_cache import node_cache

COLLECTIVE_TIMEOUT_S = 1800


def trainer(spec: SlotSpec, slot: str, namespace: str, run: str, run_name: str, workers: int) -> TorchTrainer:
    """Its `fit()` returns when the slot closes or its workers are preempted, and raises when no workers can start.

    `run`: the `GroupId.run` of its worker groups; `run_name`: its folder under the storage.
    """
    on_gpu = spec.gpus_per_worker > 0
    return _Trainer(
        serve,
        train_loop_config={
            "slot": slot,
            "namespace": namespace,
            "run": run,
            "fit": spec.fit or fit_trial,
            "trials_per_slot": spec.trials_per_slot,
            "whole_gpu": spec.gpus_per_worker >= 1,
        },
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=on_gpu,
            resources_per_worker=spec.resources,
            placement_strategy=spec.placement,
        ),
        # Ray's type hints still show the first version of these classes.
        run_config=RunConfig(
            name=run_name,
            storage_path=str((spec.storage or node_cache()) / "slots"),
            # The slot state counts lost groups, by trial; start-up errors come back to the slot.
            failure_config=FailureConfig(max_failures=-1, controller_failure_limit=0),  # type: ignore[call-arg]
            callbacks=[_ReportLoss(slot, namespace, run)],  # type: ignore[list-item]
        ),
    )


class _Trainer(TorchTrainer):
    """Starts no process for Ray Data's data sets, which Ray Train otherwise starts for each worker group.

    There are none here, and the slot is ready sooner.
    """

    def _create_default_callbacks(self) -> list[Any]:
        # Ray's type hints show an older class. If Ray renames the callback, its process starts again; nothing else
        # changes.
        found: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in found if type(callback).__name__ != "DatasetsCallback"]


class _ReportLoss(UserCallback):
    """Runs in the Train controller: reports to the slot why a worker group failed, as soon as Train sees it."""

    def __init__(self, name: str, namespace: str, run: str) -> None:
        self._name, self._namespace, self._run = name, namespace, run

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        failure = failure_of_group(worker_exceptions)
        ray.get_actor(self._name, namespace=self._namespace).group_lost.remote(self._run, failure)
