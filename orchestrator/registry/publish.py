"""From an exported folder to a registered version: logged, linked to its run, read back, then given its alias."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator.errors import PreflightError
from orchestrator.tracking.mlflow_store import configure_mlflow, mlflow_client
from trainables import export
from trainables.config import TrialConfig
from trainables.export import load_exported

CHAMPION = "champion"
CHALLENGER = "challenger"
ARTIFACT = "exported"
_REQUIREMENTS = ("torch", "torchvision", "numpy", "pyarrow", "safetensors", "scikit-learn", "mlflow")


class Version(NamedTuple):
    """A registered version."""

    name: str
    version: str
    alias: str | None
    model_id: str
    run_id: str
    tags: dict[str, str]


def publish(
    uri: str, run_id: str, folder: Path, name: str, tags: Mapping[str, str], alias: str, example_NHWC: np.ndarray
) -> Version:
    """Registers an exported model as the next version of `name` under an alias.

    The alias is set last, after the stored files have been downloaded and compared with their manifest, so a process
    that dies in between leaves the former champion in place. Raises CheckpointError where the store altered a file.
    """
    client = mlflow_client(uri)
    with tempfile.TemporaryDirectory() as scratch:
        packed = _pack(folder, Path(scratch) / "model", example_NHWC)
        model_id = _log_model(client, run_id, name, packed, folder)
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    created = client.create_model_version(
        name,
        source=client.get_logged_model(model_id).artifact_location,
        run_id=run_id,
        tags=dict(tags),
        model_id=model_id,
    )
    with tempfile.TemporaryDirectory() as scratch:
        load_exported(download(uri, f"models:/{name}/{created.version}", Path(scratch)))
    client.set_registered_model_alias(name, alias, created.version)
    return Version(name, str(created.version), alias, model_id, run_id, dict(tags))


def find_version(uri: str, reference: str) -> Version:
    """A version by NAME (its champion), NAME@alias or NAME/number; PreflightError where it is not there."""
    import mlflow.exceptions

    client = mlflow_client(uri)
    name, alias, number = split_reference(reference)
    try:
        found = client.get_model_version(name, number) if number else client.get_model_version_by_alias(name, alias)
    except mlflow.exceptions.MlflowException as error:
        known = sorted(model.name for model in client.search_registered_models())
        raise PreflightError(
            f"no registered model '{reference}' ({str(error).splitlines()[0]}); registered: "
            f"{', '.join(known) or 'none yet'}. List them with: aib models"
        ) from None
    return Version(name, str(found.version), alias, found.model_id or "", found.run_id or "", dict(found.tags))


def list_versions(uri: str) -> list[Version]:
    """Every version of every registered model, newest first within a model; one row an alias."""
    client = mlflow_client(uri)
    rows = []
    for model in client.search_registered_models():
        aliases: dict[str, list[str | None]] = {}
        for alias, number in model.aliases.items():
            aliases.setdefault(str(number), []).append(alias)
        versions = client.search_model_versions(f"name = '{model.name}'")
        for found in sorted(versions, key=lambda v: -int(v.version)):
            for alias in aliases.get(str(found.version), [None]):
                rows.append(
                    Version(
                        model.name,
                        str(found.version),
                        alias,
                        found.model_id or "",
                        found.run_id or "",
                        dict(found.tags),
                    )
                )
    return rows


def download(uri: str, model_uri: str, folder: Path) -> Path:
    """Downloads a version's files; the path of the exported folder among them."""
    configure_mlflow()
    import mlflow.artifacts

    with _registry(uri):
        fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(folder)))
    (found,) = (path.parent for path in fetched.rglob(export.CONFIG))
    return found


def split_reference(reference: str) -> tuple[str, str | None, str | None]:
    """(name, alias, number) of NAME, NAME@alias, NAME/number, each with or without `models:/`."""
    plain = reference.removeprefix("models:/")
    if "@" in plain:
        name, alias = plain.split("@", 1)
        return name, alias, None
    if "/" in plain:
        name, number = plain.split("/", 1)
        return name, None, number
    return plain, CHAMPION, None


def _pack(folder: Path, target: Path, example_NHWC: np.ndarray) -> Path:
    """An MLflow model folder around the exported one: signature, example, our code, no pickle."""
    configure_mlflow()
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    size = TrialConfig.from_dict(
        json.loads((folder / export.CONFIG).read_text(encoding="utf-8"))["trial"]
    ).data.image_size
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, size, size, 3))]),
        params=ParamSchema([ParamSpec("attention_samples", "integer", 0), ParamSpec("latent_samples", "integer", 0)]),
    )
    root = Path(export.__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as code:
        # A copy without compiled files; MLflow takes the folder as it is.
        ours = shutil.copytree(
            root / "trainables", Path(code) / "trainables", ignore=shutil.ignore_patterns("__pycache__")
        )
        mlflow.pyfunc.save_model(
            path=str(target),
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={ARTIFACT: str(folder)},
            code_paths=[str(ours)],
            signature=signature,
            input_example=example_NHWC,
            pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in _REQUIREMENTS],
        )
    return target


def _log_model(client: Any, run_id: str, name: str, packed: Path, folder: Path) -> str:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    described = json.loads((folder / export.CONFIG).read_text(encoding="utf-8"))
    params = {key: str(value) for key, value in described["trial"].items()}
    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, params=params, model_type="aib")
    client.log_model_artifacts(logged.model_id, str(packed))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)


@contextmanager
def _registry(uri: str) -> Iterator[None]:
    """MLflow's download helper knows the store only by a process-wide setting; it is put back."""
    import mlflow

    tracking, registry = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(tracking)
        mlflow.set_registry_uri(registry)
