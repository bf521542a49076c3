"""The state of a trial between two epochs or steps: weights, their average, optimiser, best epoch, history."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from trainables.checkpoints.checkpoint import read_state, read_tensors, verify, write_checkpoint
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import Store
from trainables.errors import CheckpointError
from trainables.models.build import build_model
from trainables.models.classifier import Classifier
from trainables.models.pretrained import load_imagenet
from trainables.runtime import numerics
from trainables.runtime.runtime import Runtime
from trainables.training.ema import WeightAverage
from trainables.training.optim import build_optimizer, load_optimizer, optimizer_state
from trainables.training.pause import PartialEpoch


@dataclass
class Training:
    config: TrialConfig
    model: Classifier
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    """Only if `optim.ema_decay` is above 0."""
    data: dict[str, Any]
    """Name, size, digest and class names of the data set, stored beside the weights."""
    fingerprint: dict[str, str | int | bool]
    stored_fingerprint: dict[str, str | int | bool]
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    examples: dict[str, torch.Tensor] = field(default_factory=dict)
    """Images and maps to draw, filled after the last epoch."""
    part: PartialEpoch | None = None
    """Of the epoch after `epoch`, if the trial was paused in the middle of it."""
    verdicts: dict[str, torch.Tensor] = field(default_factory=dict)
    """Predictions of the best weights for every test image, filled after the last epoch."""

    @staticmethod
    def start(config: TrialConfig, store: Store, runtime: Runtime, fresh: bool = True) -> "Training":
        """Initialises the weights, the same on every rank (keyed by the seed), or loads ImageNet's if the trial asks.

        Without `fresh`, a call of `restore` follows, so that the file of ImageNet's weights is not needed.
        """
        model = build_model(config, store.num_classes)
        if fresh:
            load_imagenet(model, config.model)
        model = numerics.place(model, config, runtime.device)
        data = {
            "name": store.name,
            "image_size": store.image_size,
            "digest": store.digest,
            "class_names": list(store.class_names),
        }
        found = numerics.fingerprint(config, runtime)
        decay = config.optim.ema_decay
        average = WeightAverage(model, decay) if decay > 0 else None
        return Training(config, model, build_optimizer(model, config.optim), average, data, found, found)

    def finish_epoch(self, epoch: int, metrics: dict[str, float], evaluated: Classifier) -> None:
        """Adds an epoch's metrics; keeps the evaluated weights if they are the best so far.

        Best: the lowest validation error, then the lowest cross-entropy, then the earliest epoch.
        """
        self.epoch = epoch
        self.history.append(metrics)
        rank = [(m["val_error_pct"], m["val_nll"]) for m in self.history]
        if rank[-1] < min(rank[:-1], default=(float("inf"), float("inf"))):
            self.best_epoch = epoch
            self.best_weights = {name: t.detach().cpu().clone() for name, t in evaluated.state_dict().items()}

    def save(self, folder: Path) -> Path:
        """Writes a complete checkpoint folder (`checkpoint.write_checkpoint`)."""
        tensors = {
            "model": dict(self.model.state_dict()),
            "best": self.best_weights,
            "optimizer": optimizer_state(self.model, self.optimizer),
        }
        if self.average is not None:
            tensors["average"] = dict(self.average.model.state_dict())
        if self.examples:
            tensors["examples"] = self.examples
        if self.verdicts:
            tensors["verdicts"] = self.verdicts
        if self.part is not None:
            tensors["part"] = {"sums_RT": self.part.sums_RT}
        state = {
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "history": self.history,
            "config": self.config.to_dict(),
            "data": self.data,
            "fingerprint": self.fingerprint,
            **({"part": self.part.state()} if self.part is not None else {}),
        }
        return write_checkpoint(folder, tensors, state)

    def restore(self, folder: Path) -> None:
        """Loads a checkpoint; CheckpointError if it is altered, or belongs to another trial or other data.

        Raises errors of the device, such as lack of memory, unchanged: they say nothing about the checkpoint.
        """
        verify(folder)
        try:
            self._restore(folder)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder} matches its manifest and cannot be read ({type(error).__name__}: {error}); remove it, and "
                "the trial continues from the one before."
            ) from None

    def _restore(self, folder: Path) -> None:
        state = read_state(folder)
        for what, stored, present in (
            ("config", state["config"], self.config.to_dict()),
            ("data", state["data"], self.data),
        ):
            differing = sorted(key for key in present if stored.get(key) != present[key])
            if differing:
                raise CheckpointError(
                    f"{folder} belongs to another trial: {what} differs in {', '.join(differing)}; "
                    "continue it with the values it was started with, or start a new trial."
                )
        self.model.load_state_dict(read_tensors(folder, "model"))
        load_optimizer(self.model, self.optimizer, read_tensors(folder, "optimizer"))
        if self.average is not None:
            self.average.model.load_state_dict(read_tensors(folder, "average"))
        self.best_weights = read_tensors(folder, "best")
        self.epoch, self.best_epoch, self.history = state["epoch"], state["best_epoch"], state["history"]
        if "part" in state:
            self.part = PartialEpoch.from_state(state["part"], read_tensors(folder, "part")["sums_RT"])
        self.stored_fingerprint = state["fingerprint"]
