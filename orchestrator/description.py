"""What is known of a model before it is trained, with the paper's Tables 3 and 4 beside it."""

from pathlib import Path
from typing import Any

from orchestrator.study_paths import data_root
from search_spaces.schema import load_spec
from trainables.config import TrialConfig
from trainables.data.catalog import KNOWN, known
from trainables.data.store import list_prepared
from trainables.models.counts import count

# Table 3 (millions) and Table 4 (G), by backbone and number of classes: at 32 x 32, and for 200 at 224 x 224.
_PAPER = {
    ("vgg-32", 10): (20.05, 3.79),
    ("vgg-32", 100): (20.07, 3.79),
    ("wrn-28-10", 10): (65.00, 39.14),
    ("wrn-28-10", 100): (65.11, 39.20),
    ("vgg-16", 200): (24.28, 16.75),
    ("wrn-50-2", 200): (130.73, 50.97),
}
_IMAGE_SIZES = {"vgg-32": 32, "wrn-28-10": 32, "vgg-16": 224, "wrn-50-2": 224}
_VGG_NOTE = "Table 3 counts BatchNorm statistics in its VGG-aib rows: compare with parameters_with_buffers."
_WRN_NOTE = (
    "Table 4's WRN rows count modules registered under two names twice; counted once, one draw costs 12.38 G (10 "
    "classes)."
)
_VGG16_NOTE = (
    "Both rows of Tables 3 and 4 hold with three more convolutions in the attention module, which the released code "
    "has in aib-qt only. Table 4's counter adds one operation for the bias of every convolution's output."
)
_WRN50_NOTE = (
    "Table 3 counts a second third group (20 736 000 parameters) that the released code registers and never runs; "
    "Table 4 counts modules registered under two names several times: counted once, one draw costs 19.62 G."
)
_NOTES = {"vgg-32": _VGG_NOTE, "wrn-28-10": _WRN_NOTE, "vgg-16": _VGG16_NOTE, "wrn-50-2": _WRN50_NOTE}


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
        "attention_map": [found.map_height, found.map_width],
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
    backbone = config.model.backbone
    published = _PAPER.get((backbone, num_classes))
    as_published = config.data.image_size == _IMAGE_SIZES[backbone] and config.model.width == 1
    if published is None or "aib" not in config.model.name or not as_published:
        return None
    parameters_m, macs_g = published
    return {"parameters_M": parameters_m, "flops_G": macs_g, "note": _NOTES[backbone]}
