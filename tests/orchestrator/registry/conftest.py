"""Real models of a few thousand weights, and one registry per test with a run to link models to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from orchestrator.registry.card import model_card
from orchestrator.registry.versions import Version
from orchestrator.tracking.mlflow.store import local_tracking_uri, mlflow_client, prepare_store
from trainables.config.trial import TrialConfig
from trainables.export import export_model
from trainables.models.build import build_model

SIZE = 16
CLASSES = ("zero", "one", "two")
METRICS = {"final_val_error_pct": 21.5, "final_test_error_pct": 22.25, "interp_centered_pct": 40.0}


class Registry(NamedTuple):
    uri: str
    run_id: str


def tiny_config(seed: int = 0, model: str = "vgg-aib-qt") -> TrialConfig:
    return TrialConfig.from_dict(
        {
            "model": model,
            "model.width": 0.0625,
            "bottleneck.latent_dim": 8,
            "data.image_size": SIZE,
            "seed": seed,
            "evaluation.attention_samples": 2,
            "evaluation.latent_samples": 3,
        }
    )


def export_tiny(folder: Path, seed: int = 0, model: str = "vgg-aib-qt", classes: tuple[str, ...] = CLASSES) -> Path:
    config = tiny_config(seed, model)
    facts = {
        "study": "tiny",
        "trial_id": "f1-seed1",
        "signature": "0123456789abcdef",
        "data": {"name": "cluttered-digits", "image_size": SIZE, "digest": "d" * 64},
        "seeds": {name: {"mean": value, "std": 0.5, "n": 2} for name, value in METRICS.items()},
    }
    weights = build_model(config, len(classes)).state_dict()
    return export_model(folder, weights, config, classes, METRICS, facts, model_card("tiny", config, METRICS, facts))


def random_images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return export_tiny(tmp_path / "studies" / "tiny" / "export")


@pytest.fixture
def registry(empty_mlflow_db: Path, tmp_path: Path) -> Registry:
    shutil.copyfile(empty_mlflow_db, tmp_path / "mlflow.db")
    uri = local_tracking_uri(tmp_path)
    experiment_id = prepare_store(uri, "tiny", tmp_path / "artifacts")
    return Registry(uri, mlflow_client(uri).create_run(experiment_id).info.run_id)


@pytest.fixture
def stored_files() -> Callable[[Registry, Version], Path]:
    """Locates the stored files of a version in a local store, for tests that damage them."""

    def locate(registry: Registry, found: Version) -> Path:
        location = mlflow_client(registry.uri).get_model_version_download_uri(found.name, found.version)
        return Path(location.removeprefix("file://")) / "artifacts" / "exported"

    return locate
