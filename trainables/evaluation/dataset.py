"""Measures an exported, registered or just trained model on a prepared data set."""

from pathlib import Path
from typing import Any

import torch

from trainables.data.arrow_store import Store, open_store
from trainables.data.catalog import KNOWN_DATASETS
from trainables.data.splits import Subset, select
from trainables.errors import ConfigError
from trainables.evaluation.cross_domain import NO_CLASS, class_map, cross_errors_pct
from trainables.evaluation.evaluate import evaluate, final_draws
from trainables.evaluation.final_score import interpretability, localization, occluder_store, occluders
from trainables.export import LoadedModel, load_exported
from trainables.runtime import numerics
from trainables.runtime.runtime import Runtime


def evaluate_model(
    loaded: LoadedModel, data_root: Path, dataset: str | None, with_interpretability: bool
) -> dict[str, Any]:
    """The keys of `aib evaluate --json`: errors on a test split with the model's final draws.

    On the model's own data set: the trial's test images. On another data set with the same classes: all its test
    images, at the model's stored size. On a data set that numbers or names its classes differently (STL-10 for
    CIFAR-10 models): both splits, with classes paired by name.
    Raises ConfigError for a data set with other classes, or for interpretability of a model without maps; DataError
    for a data set that is not prepared.
    """
    config, runtime = loaded.config, _runtime(data_root)
    if with_interpretability and not loaded.model.map_sizes:
        raise ConfigError(f"{config.model.name} has no spatial map to score; leave out --interpretability.")
    numerics.apply(config, runtime.device)
    name = dataset or config.data.name
    # Verifies every byte, here and below: the error on damaged images would look like the model's.
    store = open_store(data_root, name, config.data.stored_size, verify=True)
    if with_interpretability:
        occluder_store(config, data_root, verify=True)
    crossing = _other_classes(loaded, store)
    own = name == config.data.name
    test = select(store, config.data).test if own else _whole_test(store, config.data.image_size)
    num_images = len(test)
    model, draws = numerics.place(loaded.model, config, runtime.device), final_draws(config)
    if crossing:
        metrics = cross_errors_pct(model, loaded.class_names, store, config, runtime, draws)
        num_images += len(store.splits["train"].labels_N)
    else:
        found = evaluate(model, test, "test", config, runtime, draws)
        metrics = {f"test_{name}": value for name, value in found.items()}
    if with_interpretability:
        scored = test.head(config.evaluation.interp_images)
        metrics |= interpretability(model, scored, config, occluders(config, runtime), runtime, draws)
    if model.map_sizes and test.split.masks_NHW is not None:
        metrics |= localization(model, test, config, runtime, draws)
    return {"dataset": name, "num_images": num_images, "metrics": metrics}


def validation_error_pct(folder: Path, data_root: Path) -> float:
    """The validation error of an exported folder, measured as at the end of its trial."""
    loaded, runtime = load_exported(folder), _runtime(data_root)
    config = loaded.config
    numerics.apply(config, runtime.device)
    store = open_store(data_root, config.data.name, config.data.stored_size, verify=True)
    val = select(store, config.data).val
    model = numerics.place(loaded.model, config, runtime.device)
    return evaluate(model, val, "val", config, runtime, final_draws(config))["error_pct"]


def _runtime(data_root: Path) -> Runtime:
    return Runtime(data_root=data_root, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _whole_test(store: Store, side: int) -> Subset:
    return Subset(store.splits["test"], torch.arange(len(store.splits["test"].labels_N)).numpy(), side)


def _other_classes(loaded: LoadedModel, store: Store) -> bool:
    """Whether labels must be translated between data set and model; ConfigError where that is impossible."""
    num_classes = len(loaded.class_names)
    model_label_F = class_map(loaded.class_names, store.class_names)
    if model_label_F.tolist() == list(range(num_classes)):
        return False
    unnamed = _numbered(loaded.config.data.name, loaded.class_names) or _numbered(store.name, store.class_names)
    if unnamed and store.num_classes == num_classes:
        return False
    if not unnamed and (model_label_F != NO_CLASS).any():
        return True
    raise ConfigError(
        f"the model knows {num_classes} classes and {store.name} has {store.num_classes} others; evaluate it on a "
        f"data set with its own classes, such as {loaded.config.data.name}."
    )


def _numbered(name: str, class_names: tuple[str, ...]) -> bool:
    """Whether the data set was prepared without class names, so that its classes are only numbers."""
    has_names = name in KNOWN_DATASETS and KNOWN_DATASETS[name].class_names is not None
    return not has_names and class_names == tuple(map(str, range(len(class_names))))
