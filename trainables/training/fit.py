"""Trains one trial from its first epoch to its last, as a generator with one report per epoch on every rank.

A report can be saved, and a saved report can be continued. Every random draw is keyed by (seed, purpose, epoch, step,
rank), so the continuation equals the uninterrupted run.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import open_store
from trainables.data.augment import augment
from trainables.data.device_images import Resident, resident
from trainables.data.splits import Subsets
from trainables.errors import DivergedError
from trainables.evaluation.evaluate import evaluate, search_draws
from trainables.evaluation.final_score import BestEpoch, interpretability, localization, occluders, score_best
from trainables.metrics import INTERP_FURTHER_SUMMARY, INTERP_SUMMARY, VAL_LOCALIZATION, without_map
from trainables.models.classifier import Classifier
from trainables.runtime import numerics
from trainables.runtime.progress import advance
from trainables.runtime.randomness import stream, stream_seed
from trainables.runtime.runtime import Runtime
from trainables.training.optim import learning_rate, set_learning_rate
from trainables.training.pause import PartialEpoch, Paused
from trainables.training.state import Training
from trainables.training.step import train_step


@dataclass(frozen=True)
class EpochReport:
    """The result of one epoch. `save` writes the whole state after it; only rank 0 calls it."""

    epoch: int
    metrics: dict[str, float]
    history: list[dict[str, float]]
    save: Callable[[Path], Path]


def fit(config: TrialConfig, runtime: Runtime, resume: Path | None = None) -> Iterator[EpochReport]:
    """Trains, evaluates after every epoch, and scores the best epoch's weights after the last.

    `resume` is a checkpoint folder; the first report is then that of the next epoch, or of the epoch that the
    checkpoint was written in the middle of.
    Raises DataError where the data set is not prepared; CheckpointError where the checkpoint belongs to another trial
    or other data; DivergedError, on all ranks together, where the loss is not finite; Paused, on all ranks together,
    where `Runtime.should_pause` says so.
    """
    numerics.apply(config, runtime.device)
    store = open_store(runtime.data_root, config.data.name, config.data.stored_size)
    data = resident(store, config.data, runtime.device)
    subsets = data.subsets
    training = Training.start(config, store, runtime, fresh=resume is None)
    if resume is not None:
        training.restore(resume)
        _check_resumable(training, resume)
    occluders_MHWC = occluders(config, runtime) if training.model.map_sizes else None
    model = _distributed(training, runtime)
    for epoch in range(training.epoch + 1, config.epochs + 1):
        metrics = {"epoch": float(epoch), **_train_epoch(model, training, data, epoch, runtime)}
        found, evaluated = _evaluate_epoch(training, subsets, occluders_MHWC, epoch, runtime)
        metrics.update(found)
        _check_finite(metrics, epoch)
        training.finish_epoch(epoch, metrics, evaluated)
        if epoch == config.epochs:
            best = BestEpoch(training.best_epoch, training.best_weights, training.history)
            final = score_best(config, best, subsets, store.class_names, occluders_MHWC, runtime)
            training.examples, training.verdicts = final.examples, final.verdicts
            metrics.update(final.metrics)
            _check_finite(metrics, epoch)
        yield EpochReport(epoch, dict(metrics), list(training.history), training.save)


def _check_finite(metrics: Mapping[str, float], epoch: int) -> None:
    broken = sorted(name for name, value in metrics.items() if not math.isfinite(value))
    if broken:
        raise DivergedError(f"{', '.join(broken)} not finite after epoch {epoch}; lower optim.lr.")


def _distributed(training: Training, runtime: Runtime) -> torch.nn.Module:
    model: torch.nn.Module = training.model
    if training.config.numerics.compile:
        # A graph for whole batches only. A last, smaller batch would cause a graph for any size, which is slower.
        model.compile(dynamic=False)
    if runtime.world_size > 1:
        model = DistributedDataParallel(model, device_ids=[runtime.device] if runtime.device.type == "cuda" else None)
        # BatchNorm's statistics are not read before the epoch's end, where all ranks get rank 0's. Set as an attribute,
        # because the argument's name differs between versions of torch.
        model.broadcast_buffers = False
    return model


def _train_epoch(
    model: torch.nn.Module,
    training: Training,
    data: Resident,
    epoch: int,
    runtime: Runtime,
) -> dict[str, float]:
    """Trains for one epoch; returns the loss terms as means over all images of all ranks."""
    config, started = training.config, time.perf_counter()
    images_NHWC, labels_N = data.images_NHWC, data.labels_N
    lr = learning_rate(config.optim, epoch)
    set_learning_rate(training.optimizer, lr)
    model.train()
    # Moves the whole order to the device at once; a copy in every step would wait for the device.
    order_N = torch.randperm(len(labels_N), generator=stream(config.seed, "order", epoch)).to(runtime.device)
    names: tuple[str, ...] = ()
    sums, images_seen, steps_done = torch.zeros((), dtype=torch.float64, device=runtime.device), 0, 0
    if training.part is not None:
        part, training.part = training.part, None
        names, steps_done, started = part.names, part.step, started - part.seconds
        sums, images_seen = part.of_rank(runtime.rank, runtime.world_size)
        sums = sums.to(runtime.device)
    batches = _global_batches(order_N, config.optim.batch_size, runtime.world_size)
    for step, batch in enumerate(batches):
        if step < steps_done:
            continue
        rows = batch.tensor_split(runtime.world_size)[runtime.rank]
        key = (epoch, step, runtime.rank)
        x_BCHW = augment(images_NHWC[rows], config.data, stream(config.seed, "augment", *key, device=runtime.device))
        noise = training.model.draw_noise(len(rows), 1, 1, stream(config.seed, "noise", *key, device=runtime.device))
        # Dropout draws from the global generators only, so they get the step's key too.
        torch.manual_seed(stream_seed(config.seed, "dropout", *key))
        share = len(rows) * runtime.world_size / len(batch)
        with nullcontext() if len(batch) == len(batches[0]) else numerics.uncompiled():
            terms = train_step(model, training.optimizer, x_BCHW, labels_N[rows], noise, config, share)
        if training.average is not None:
            training.average.update(training.model)
        names, values = zip(*terms.present().items(), strict=True)
        sums = sums + torch.stack(values).double() * len(rows)
        images_seen += len(rows)
        advance()
        if runtime.should_pause():
            seconds = time.perf_counter() - started
            training.part = PartialEpoch.gather(step + 1, names, sums, images_seen, seconds, runtime.world_size)
            raise Paused(training.epoch, step + 1, training.save)
    sums = torch.cat([sums, sums.new_tensor([images_seen])])
    if runtime.world_size > 1:
        dist.all_reduce(sums)
        _share_buffers(training.model)
        if training.average is not None:
            _share_buffers(training.average.model)
    *totals, num_images = sums.tolist()
    means = {name: total / num_images for name, total in zip(names, totals, strict=True)}
    if not all(map(math.isfinite, means.values())):
        raise DivergedError(
            f"the training loss is not finite in epoch {epoch} ({means}); lower optim.lr ({lr}) or "
            f"bottleneck.beta ({config.bottleneck.beta})."
        )
    seconds = time.perf_counter() - started
    return {
        "train_loss": means.pop("total"),
        **{f"train_{name}": mean for name, mean in means.items()},
        "images_per_s": num_images / seconds,
        "epoch_s": seconds,
        "num_workers": float(runtime.world_size),
        "lr": lr,
    }


def _global_batches(order_N: torch.Tensor, size: int, world_size: int) -> list[torch.Tensor]:
    """Cuts the epoch into global batches; drops a last one with fewer than two images per rank (for BatchNorm)."""
    parts = list(order_N.split(size))
    if len(parts) > 1 and len(parts[-1]) < 2 * world_size:
        parts.pop()
    return parts


def _share_buffers(model: torch.nn.Module) -> None:
    """Copies rank 0's BatchNorm statistics to every rank; these are saved and evaluated."""
    for buffer in model.buffers():
        dist.broadcast(buffer, 0)


def _evaluate_epoch(
    training: Training, subsets: Subsets, occluders_MHWC: torch.Tensor | None, epoch: int, runtime: Runtime
) -> tuple[dict[str, float], Classifier]:
    """The epoch's metrics, and the model they belong to.

    If the trial keeps an average, the better of raw and averaged weights on validation images.
    """
    config = training.config
    draws = search_draws(config)
    candidates = {"raw": training.model}
    if training.average is not None:
        candidates["ema"] = training.average.model
    vals = {name: evaluate(model, subsets.val, "val", config, runtime, draws) for name, model in candidates.items()}
    tests = {name: evaluate(model, subsets.test, "test", config, runtime, draws) for name, model in candidates.items()}
    chosen = min(candidates, key=lambda name: (vals[name]["error_pct"], vals[name]["nll"]))
    model = candidates[chosen]
    metrics = {f"val_{name}": value for name, value in vals[chosen].items() if name != "error_top5_pct"}
    metrics["test_error_pct"] = tests[chosen]["error_pct"]
    if training.average is not None:
        for split, found in (("val", vals), ("test", tests)):
            metrics |= {f"{split}_{name}_error_pct": found[name]["error_pct"] for name in candidates}
    if occluders_MHWC is None:
        return metrics, model
    if subsets.val.split.masks_NHW is not None:
        located = localization(model, subsets.val, config, runtime, draws)
        metrics[VAL_LOCALIZATION] = located["attention_in_mask_ratio"]
    every = config.evaluation.interp_every_epochs
    if every and (epoch % every == 0 or epoch == 1):
        scored = subsets.val.head(config.evaluation.interp_epoch_images)
        scores = interpretability(model, scored, config, occluders_MHWC, runtime, draws)
        metrics |= {name: value for name, value in scores.items() if _is_summary(name)}
        metrics["interp_epoch"] = float(epoch)
    elif training.history:
        # A search needs every objective after every epoch: the last score is reported until the next one.
        metrics |= {
            name: value for name, value in training.history[-1].items() if without_map(name).startswith("interp")
        }
    return metrics, model


def _is_summary(name: str) -> bool:
    metric = without_map(name)
    return metric in (INTERP_SUMMARY if metric == name else INTERP_FURTHER_SUMMARY)


def _check_resumable(training: Training, resume: Path) -> None:
    stored, present = training.stored_fingerprint, training.fingerprint
    if stored["world_size"] != present["world_size"]:
        warnings.warn(
            f"{resume} was written by {stored['world_size']} workers and continues on {present['world_size']}: "
            "the continuation is not bit-exact.",
            stacklevel=2,
        )
    elif stored != present:
        changed = {name: (stored.get(name), present[name]) for name in present if stored.get(name) != present[name]}
        warnings.warn(f"numerics differ from {resume}: {changed}; the continuation is not bit-exact.", stacklevel=2)
