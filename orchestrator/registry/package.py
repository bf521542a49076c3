"""Packages an exported model for MLflow: a script in place of a pickled class, our code beside it, a signature."""

import json
import logging
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from orchestrator.tracking.mlflow.store import configure_mlflow
from trainables import export
from trainables.config.trial import TrialConfig

ARTIFACT = "exported"
_REQUIREMENTS = ("torch", "torchvision", "numpy", "pyarrow", "safetensors", "scikit-learn", "mlflow")


def package(folder: Path, target: Path, example_NHWC: np.ndarray) -> Path:
    """Writes the MLflow model folder `target` around a copy of `folder`; `example_NHWC` is its input example.

    It contains a copy of `trainables`, so MLflow can load and serve the model where our package is not installed.
    """
    configure_mlflow()
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    # MLflow's notes on validation would appear between the lines of a running search.
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    described = json.loads((folder / export.CONFIG).read_text(encoding="utf-8"))
    size = TrialConfig.from_dict(described["trial"]).data.image_size
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, size, size, 3))]),
        params=ParamSchema([ParamSpec("attention_samples", "integer", 0), ParamSpec("latent_samples", "integer", 0)]),
    )
    root = Path(export.__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as scratch:
        # Copied without compiled files, because MLflow takes the folder as it is.
        code = shutil.copytree(
            root / "trainables", Path(scratch) / "trainables", ignore=shutil.ignore_patterns("__pycache__")
        )
        # MLflow keeps the source folder's name for its own copy.
        weights = shutil.copytree(folder, Path(scratch) / ARTIFACT)
        mlflow.pyfunc.save_model(
            path=str(target),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={ARTIFACT: str(weights)},
            code_paths=[str(code)],
            signature=signature,
            input_example=example_NHWC,
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in _REQUIREMENTS],
        )
    return target


def exported_in(packaged: Path) -> Path:
    """The exported folder inside an MLflow model folder."""
    return packaged / "artifacts" / ARTIFACT
