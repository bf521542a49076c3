"""Ray's documented pattern as a script: a Tune function that fits a TorchTrainer, until the first epoch is reported.

`python -m benchmarks.support.first_epoch_pattern DATA_ROOT STORAGE TRIAL`; TRIAL is a trial's JSON. The worker runs our
training step with the same data and model, so that only the start differs. Nothing is tracked and nothing is checked.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray import tune
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from trainables.config.trial import TrialConfig
from trainables.runtime.runtime import Runtime
from trainables.training.fit import fit


class Says(tune.Callback):
    """Prints a line at the first report."""

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        print("first epoch", flush=True)


def train(given: Mapping[str, Any]) -> None:
    """Runs on the worker."""
    context = ray.train.get_context()
    runtime = Runtime(
        data_root=Path(given["data_root"]), rank=context.get_world_rank(), world_size=context.get_world_size()
    )
    for report in fit(TrialConfig.from_dict(given["trial"]), runtime):
        ray.train.report({name: value for name, value in report.metrics.items() if name != "epoch"})


def drive(given: Mapping[str, Any]) -> None:
    """Runs in the trial's Tune actor."""
    TorchTrainer(
        train,
        train_loop_config=dict(given),
        scaling_config=ScalingConfig(num_workers=1),
        run_config=ray.train.RunConfig(
            name=f"train-{tune.get_context().get_trial_id()}",
            storage_path=given["storage"],
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]  # the hints show Train's first version
        ),
    ).fit()


def main(data_root: str, storage: str, trial: str) -> None:
    # The pattern's driver takes one CPU in addition to its worker.
    ray.init("local", num_cpus=2, log_to_driver=False)
    tune.Tuner(
        drive,
        param_space={"data_root": data_root, "storage": storage, "trial": json.loads(trial)},
        run_config=tune.RunConfig(name="tune", storage_path=storage, verbose=0, callbacks=[Says()]),
    ).fit()
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
