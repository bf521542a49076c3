"""Evaluates a model on another data set that shares some of its classes: CIFAR-10 models on STL-10.

Classes are paired by name, because the two data sets number them differently; docs/cross-domain.md explains the three
errors. Legend: B images of a batch, C the model's classes, F the other data set's classes.
"""

from collections.abc import Sequence

import numpy as np
import torch

from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import SPLITS, Store, open_store, read_meta, store_folder
from trainables.data.splits import Subset
from trainables.errors import ConfigError
from trainables.evaluation.evaluate import Draws, predict_batch, shard
from trainables.metrics import CROSS_DOMAIN_READINGS, cross_domain_metric
from trainables.models.classifier import Classifier
from trainables.runtime.randomness import stream
from trainables.runtime.runtime import Runtime
from trainables.runtime.sums import BatchSums

TRAINED_ON, EVALUATED_ON = "cifar10", "stl10"
"""The paper's pair (Table 1, STL10 columns)."""

NO_CLASS = -1
_SYNONYMS = {"car": "automobile"}  # STL-10's word for what CIFAR-10 calls an automobile
_QUANTITIES = ("images", "shared_images", "errors", "index_errors", "shared_errors")


def class_map(trained: Sequence[str], other: Sequence[str]) -> np.ndarray:
    """(F,) int64: the model's label of each class of the other data set, NO_CLASS where the model has none."""
    label_of = {_SYNONYMS.get(name, name): label for label, name in enumerate(trained)}
    return np.array([label_of.get(_SYNONYMS.get(name, name), NO_CLASS) for name in other], np.int64)


def is_prepared(config: TrialConfig, runtime: Runtime) -> bool:
    """Whether the trial trains on CIFAR-10 and every rank finds STL-10 prepared; collective.

    Ranks vote, because a node without the images must not leave the others waiting in a sum.
    """
    if config.data.name != TRAINED_ON:
        return False
    there = read_meta(store_folder(runtime.data_root, EVALUATED_ON, config.data.stored_size)) is not None
    votes = BatchSums(runtime.world_size, ("there",))
    votes.add(runtime.rank, {"there": float(there)})
    return votes.totals(runtime.world_size)["there"] == runtime.world_size


def score_stl10(
    model: Classifier, class_names: Sequence[str], config: TrialConfig, runtime: Runtime, draws: Draws
) -> dict[str, float]:
    """`metrics.CROSS_DOMAIN` over STL-10's labelled images, at most `data.test_images` of each split; collective."""
    store = open_store(runtime.data_root, EVALUATED_ON, config.data.stored_size)
    return cross_errors_pct(model, class_names, store, config, runtime, draws, config.data.test_images)


def cross_errors_pct(
    model: Classifier,
    class_names: Sequence[str],
    store: Store,
    config: TrialConfig,
    runtime: Runtime,
    draws: Draws,
    limit: int | None = None,
) -> dict[str, float]:
    """The three errors on both splits of another data set, at most `limit` images of each; collective.

    The images are normalised like the model's training images. Raises ConfigError where no class is shared.
    """
    model_label_F = class_map(class_names, store.class_names)
    if not (model_label_F != NO_CLASS).any():
        raise ConfigError(
            f"the model knows {_some(class_names)}, and {store.name} shows {_some(store.class_names)}: they share no "
            f"class; evaluate the model on a data set with its own classes, such as {config.data.name}."
        )
    found: dict[str, float] = {}
    for split in SPLITS:
        labels_N = store.splits[split].labels_N
        subset = Subset(store.splits[split], np.arange(len(labels_N)), config.data.image_size).head(limit)
        totals = _totals(model, subset, f"{store.name} {split}", model_label_F, config, runtime, draws)
        errors = (totals["errors"], totals["index_errors"], totals["shared_errors"])
        images = (totals["images"], totals["images"], totals["shared_images"])
        for reading, wrong, count in zip(CROSS_DOMAIN_READINGS, errors, images, strict=True):
            # A small number of images may show no shared class.
            if count:
                found[cross_domain_metric(store.name, split, reading)] = 100.0 * wrong / count
    return found


def _totals(
    model: Classifier,
    subset: Subset,
    stream_name: str,
    model_label_F: np.ndarray,
    config: TrialConfig,
    runtime: Runtime,
    draws: Draws,
) -> dict[str, float]:
    """Counts over one pass, from which `cross_errors_pct` computes every error."""
    model.eval()
    sharding = shard(subset, config, runtime)
    images_NHWC, labels_N = subset.tensors(runtime.device)
    wanted_N = torch.from_numpy(model_label_F).to(runtime.device)[labels_N]
    sums = BatchSums(sharding.num_batches, _QUANTITIES)
    for number, rows in sharding.batches():
        generator = stream(config.seed, "evaluate", stream_name, number, device=runtime.device)
        logits_BC, _ = predict_batch(model, images_NHWC[rows], config, draws, generator)
        predicted_B, shared_B = logits_BC.argmax(1), wanted_N[rows] != NO_CLASS
        wrong_B = predicted_B != wanted_N[rows]
        sums.add(
            number,
            {
                "images": float(len(predicted_B)),
                "shared_images": shared_B.sum(),
                "errors": wrong_B.sum(),
                "index_errors": (predicted_B != labels_N[rows]).sum(),
                "shared_errors": (wrong_B & shared_B).sum(),
            },
        )
    return sums.totals(runtime.world_size)


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} classes ({', '.join(names[:3])}, …)"
