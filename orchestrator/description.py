"""What is known of a model before it is trained, with the paper's Tables 3 and 4 beside it."""

from pathlib import Path
from typing import Any

from orchestrator.study_paths import data_root
from search_spaces.schema import load_spec
from trainables.config import TrialConfig
from trainables.data.catalog import KNOWN, known
from trainables.data.store import list_prepared
from trainables.models.counts import count

# Table 3 (millions) and Table 4 (G), by backbone and number of classes at 32 x 32.
_PAPER = {
    ("vgg", 10): (20.05, 3.79),
    ("vgg", 100): (20.07, 3.79),
    ("wrn", 10): (65.00, 39.14),
    ("wrn", 100): (65.11, 39.20),
}
_VGG_NOTE = "Table 3 counts BatchNorm statistics in its VGG-aib rows: compare with parameters_with_buffers."
_WRN_NOTE = (
    "Table 4's WRN rows count modules registered under two names twice; counted once, one draw costs 12.38 G (10 "
    "classes)."
)


def describe_model(root: Path, model: str, dataset: str, sets: list[str]) -> dict[str, Any]:
    """The keys of `aib describe --json`; raises ConfigError for an unknown model, data set or field."""
    spec = load_spec(None, [f"model={model}", f"dataset={dataset}", *sets])
    config = TrialConfig.from_dict(spec.trial)
    num_classes = _num_classes(data_root(root), dataset)
    found = count(config, num_classes)
    return {
        "model": model,
        "dataset": dataset,
        "recipe": config.recipe,
        "num_classes": num_classes,
        "parameters": found.parameters,
        "parameters_with_buffers": found.parameters_with_buffers,
        "macs": found.macs,
        "attention_map": next(map(list, found.map_sizes.values()), None),
        "maps": {name: list(size) for name, size in found.map_sizes.items()},
        "paper": _paper(config, num_classes),
    }


def _num_classes(prepared: Path, dataset: str) -> int:
    if dataset in KNOWN:
        return KNOWN[dataset].num_classes
    for meta in list_prepared(prepared):
        if meta.name == dataset:
            return len(meta.class_names)
    return known(dataset).num_classes


def _paper(config: TrialConfig, num_classes: int) -> dict[str, Any] | None:
    backbone = config.model.name.split("-")[0]
    published = _PAPER.get((backbone, num_classes))
    if published is None or "aib" not in config.model.name or config.data.image_size != 32 or config.model.width != 1:
        return None
    parameters_m, macs_g = published
    note = _VGG_NOTE if backbone == "vgg" else _WRN_NOTE
    return {"parameters_M": parameters_m, "flops_G": macs_g, "note": note}
