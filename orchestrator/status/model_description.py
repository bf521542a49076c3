"""Describes a model before training: its size, beside the paper's Tables 3 and 4 (`aib describe`)."""

from pathlib import Path
from typing import Any

from orchestrator.study.paths import data_root
from search_spaces.schema import load_spec
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import list_prepared
from trainables.data.catalog import KNOWN_DATASETS, known_dataset
from trainables.errors import ConfigError
from trainables.models.build import MODELS
from trainables.models.counts import count
from trainables.paper.sizes import compare_sizes


def describe_model(root: Path, model: str, dataset: str, sets: list[str]) -> dict[str, Any]:
    """The keys of `aib describe --json`; `attention_map` is the size of the first of `attention_maps`.

    Raises ConfigError for an unknown model, data set or field.
    """
    spec = load_spec(None, [f"model={model}", f"dataset={dataset}", *sets])
    config = TrialConfig.from_dict(spec.trial)
    num_classes = _num_classes(data_root(root), dataset)
    found = count(config, num_classes)
    maps = {name: list(size) for name, size in found.map_sizes.items()}
    return {
        "model": model,
        "dataset": dataset,
        "recipe": config.recipe,
        "num_classes": num_classes,
        "image_size": config.data.image_size,
        "parameters": found.parameters,
        "parameters_with_buffers": found.parameters_with_buffers,
        "macs": found.macs,
        "attention_map": next(iter(maps.values()), None),
        "attention_maps": maps,
        "paper": compare_sizes(config, num_classes, found),
    }


def describe_all(root: Path, sets: list[str]) -> dict[str, Any]:
    """`describe_model` of every model on every known data set; invalid pairs are listed with the reason."""
    models: list[dict[str, Any]] = []
    impossible: list[dict[str, str]] = []
    for model in MODELS:
        for dataset in KNOWN_DATASETS:
            try:
                models.append(describe_model(root, model, dataset, sets))
            except ConfigError as error:
                impossible.append({"model": model, "dataset": dataset, "reason": str(error)})
    if not models:
        # A field that is invalid for every pair is the user's mistake, not a property of the pair.
        raise ConfigError(impossible[0]["reason"])
    return {"models": models, "impossible": impossible}


def _num_classes(prepared: Path, dataset: str) -> int:
    if dataset in KNOWN_DATASETS:
        return KNOWN_DATASETS[dataset].num_classes
    for meta in list_prepared(prepared):
        if meta.name == dataset:
            return len(meta.class_names)
    return known_dataset(dataset).num_classes
