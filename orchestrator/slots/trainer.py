"""The Train run of a slot: a worker group of `TorchTrainer` whose every rank runs `worker.serve`.

A module of its own, which only the slot's process needs: whoever looks a slot up by its name loads the class `Slot` and
what that imports, and torch alone would double the start of every trial's actor.
"""

from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer

from orchestrator.slots.failures import failure_of_group
from orchestrator.slots.spec import SlotSpec
from orchestrator.slots.worker import serve
from trainables.runtime.node_cache import node_cache

COLLECTIVE_TIMEOUT_S = 1800


def trainer(spec: SlotSpec, slot: str, namespace: str, run: str, run_name: str, workers: int) -> TorchTrainer:
    """For `fit()`, which returns when the slot closes or calls its workers away, and raises when none can start.

    `run`: what the names of its groups begin with; `run_name`: its folder under the storage.
    """
    on_gpu = spec.gpus_per_worker > 0
    return _Trainer(
        serve,
        train_loop_config={
            "slot": slot,
            "namespace": namespace,
            "run": run,
            "fit": spec.fit,
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
            # Lost groups are counted by trial, in the mailbox; start-up errors come back to the slot.
            failure_config=FailureConfig(max_failures=-1, controller_failure_limit=0),  # type: ignore[call-arg]
            callbacks=[_TellSlot(slot, namespace, run)],  # type: ignore[list-item]
        ),
    )


class _Trainer(TorchTrainer):
    """Without the process that Ray Train starts for each worker group to hand out Ray Data's data sets: here there are
    none, and a slot is ready so much the sooner."""

    def _create_default_callbacks(self) -> list[Any]:
        # Ray's type hints show an older class. Should Ray rename the callback, its process is back, all else the same.
        found: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in found if type(callback).__name__ != "DatasetsCallback"]


class _TellSlot(UserCallback):
    """Runs in the Train controller: tells the slot why a worker group failed, as soon as it is seen."""

    def __init__(self, name: str, namespace: str, run: str) -> None:
        self._name, self._namespace, self._run = name, namespace, run

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        failure = failure_of_group(worker_exceptions)
        ray.get_actor(self._name, namespace=self._namespace).group_lost.remote(self._run, failure)
