"""An exported, registered or just trained model measured on a prepared data set."""

from pathlib import Path
from typing import Any

import torch

from trainables import numerics
from trainables.data.splits import Subset, select
from trainables.data.store import Store, open_store
from trainables.errors import ConfigError
from trainables.evaluate import evaluate, final_draws
from trainables.export import LoadedModel, load_exported
from trainables.final import interpretability, localization, occluders
from trainables.runtime import Runtime


def evaluate_model(
    loaded: LoadedModel, data_root: Path, dataset: str | None, with_interpretability: bool
) -> dict[str, Any]:
    """The keys of `aib evaluate --json`: the test split of a data set under the model's final draws.

    On the data set the model was trained on, its own test images; on another one all of its test images, at the
    model's image size. Raises ConfigError where the classes are other ones in number, or the score of a model
    without maps is asked for; DataError where not prepared.
    """
    config, runtime = loaded.config, _runtime(data_root)
    if with_interpretability and not loaded.model.map_sizes:
        raise ConfigError(f"{config.model.name} has no spatial map to score; leave out --interpretability.")
    numerics.apply(config, runtime.device)
    name = dataset or config.data.name
    store = open_store(data_root, name, config.data.image_size)
    _check_classes(loaded, store)
    own = name == config.data.name
    test = select(store, config.data).test if own else _whole_test(store)
    model, draws = loaded.model.to(runtime.device), final_draws(config)
    found = evaluate(model, test, "test", config, runtime, draws)
    metrics = {f"test_{name}": value for name, value in found.items()}
    if with_interpretability:
        scored = test.head(config.evaluation.interp_images)
        metrics |= interpretability(model, scored, config, occluders(config, runtime), runtime, draws)
    if model.map_sizes and test.split.masks_NHW is not None:
        metrics |= localization(model, test, config, runtime, draws)
    return {"dataset": name, "num_images": len(test), "metrics": metrics}


def validation_error_pct(folder: Path, data_root: Path) -> float:
    """The validation error of an exported folder, as its trial measured it at its end."""
    loaded, runtime = load_exported(folder), _runtime(data_root)
    config = loaded.config
    numerics.apply(config, runtime.device)
    val = select(open_store(data_root, config.data.name, config.data.image_size), config.data).val
    return evaluate(loaded.model.to(runtime.device), val, "val", config, runtime, final_draws(config))["error_pct"]


def _runtime(data_root: Path) -> Runtime:
    return Runtime(data_root=data_root, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _whole_test(store: Store) -> Subset:
    return Subset(store.splits["test"], torch.arange(len(store.splits["test"].labels_N)).numpy())


def _check_classes(loaded: LoadedModel, store: Store) -> None:
    if store.num_classes != len(loaded.class_names):
        raise ConfigError(
            f"the model knows {len(loaded.class_names)} classes and {store.name} has {store.num_classes}; evaluate it "
            f"on a data set with its own classes, such as {loaded.config.data.name}."
        )
