"""Exports a trained model to a folder, and loads it without running any code from it: safetensors, JSON, a manifest.

model.safetensors  config.json  README.md  manifest.json (sizes and SHA-256 of the others)
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from trainables.checkpoints.checkpoint import MANIFEST, verify, write_manifest
from trainables.config.trial import TrialConfig
from trainables.errors import AIBError, CheckpointError
from trainables.models.build import assemble, build_model
from trainables.models.classifier import Classifier
from trainables.runtime.atomic_file import apply_umask, folder_beside

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FILES = frozenset({WEIGHTS, CONFIG, CARD, MANIFEST})
FORMAT = 1
CONFIG_BYTES = 16 * 2**20
"""No description is larger."""


@dataclass(frozen=True)
class LoadedModel:
    """An exported model in memory."""

    model: Classifier
    config: TrialConfig
    class_names: tuple[str, ...]
    metrics: dict[str, float]
    facts: dict[str, Any]
    """Everything in config.json: data digest, signature, provenance."""


def export_model(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    config: TrialConfig,
    class_names: Sequence[str],
    metrics: Mapping[str, float],
    facts: Mapping[str, Any],
    card: str,
) -> Path:
    """Writes a folder aside and renames it; replaces an existing one. `facts` must be plain JSON values."""
    with folder_beside(folder, mode=0o700) as aside:
        save_file({name: t.detach().cpu().contiguous() for name, t in weights.items()}, aside / WEIGHTS)
        described = {
            "format": FORMAT,
            "trial": config.to_dict(),
            "class_names": list(class_names),
            "metrics": dict(metrics),
            **facts,
        }
        (aside / CONFIG).write_text(json.dumps(described, indent=1, allow_nan=False), encoding="utf-8")
        (aside / CARD).write_text(card, encoding="utf-8")
        write_manifest(aside)
        apply_umask(aside)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(aside, folder)
    return folder


def load_exported(folder: Path) -> LoadedModel:
    """Verifies every file against the manifest and builds the model, ready for prediction on the CPU.

    Raises CheckpointError, naming the file, for a missing, altered, added or unreadable file. Unpickles nothing.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder of an exported model; give one that `aib pull` made.")
    strange = sorted(path.name for path in folder.iterdir() if path.name not in FILES or path.is_symlink())
    if strange:
        raise CheckpointError(f"{folder} holds {', '.join(strange)}, which no export writes; pull the model again.")
    unlisted = FILES - {MANIFEST} - verify(folder)
    if unlisted:
        raise CheckpointError(f"{folder / MANIFEST} does not list {', '.join(sorted(unlisted))}; pull the model again.")
    try:
        facts = _read_facts(folder)
        config = TrialConfig.from_dict(facts["trial"])
        class_names, metrics = _texts(facts["class_names"]), {k: float(v) for k, v in facts["metrics"].items()}
        _check_shapes(config, len(class_names), folder / WEIGHTS)
        model = build_model(config, len(class_names))
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError, AIBError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder} cannot be loaded ({type(error).__name__}: {error}); pull it again.") from None
    model.eval()
    return LoadedModel(model, config, class_names, metrics, facts)


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if path.stat().st_size > CONFIG_BYTES:
        raise CheckpointError(f"{path} has more than {CONFIG_BYTES:,} bytes, which no export writes; pull it again.")
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if facts["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {facts['format']!r}; this program reads {FORMAT}.")
    return facts


def _check_shapes(config: TrialConfig, num_classes: int, weights: Path) -> None:
    """CheckpointError unless the file holds exactly the model's tensors.

    Allocates nothing, because a few lines of config.json can describe a model of terabytes.
    """
    expected = {name: list(value.shape) for name, value in assemble(config, num_classes).state_dict().items()}
    with safe_open(weights, "pt") as file:
        found = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if different:
        raise CheckpointError(
            f"{weights} does not hold the weights of the model in {CONFIG}: {', '.join(different[:3])} "
            f"{'differs' if len(different) == 1 else 'differ'}; pull the model again."
        )


def _texts(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its class_names are not a list of names")
    return tuple(names)
