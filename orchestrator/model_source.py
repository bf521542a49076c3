"""A model by what a person calls it: a registered one, a study's best, or a folder on disk."""

from pathlib import Path

from orchestrator.registry.pull import load_registered
from orchestrator.study_paths import study_paths
from orchestrator.tracking.mlflow_store import tracking_uri_or_local
from search_spaces.names import check_name
from trainables.errors import ConfigError
from trainables.export import CONFIG, LoadedModel, load_exported


def load_model(given: str, root: Path, tracking_uri: str | None) -> LoadedModel:
    """`models:/NAME[@ALIAS | /VERSION]`, an exported folder, or the name of a study with a judged finalist.

    Raises ConfigError where it is none of them.
    """
    if given.startswith("models:/"):
        return load_registered(tracking_uri_or_local(root, tracking_uri), given)[1]
    if (Path(given) / CONFIG).is_file():
        return load_exported(Path(given))
    try:
        folder = study_paths(root, check_name(given)).folder / "export"
    except (ValueError, ConfigError):
        folder = Path(given)
    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"'{given}' is no model; allowed: models:/NAME@ALIAS (see: aib models), a study whose finalists are done, "
            "or a folder that `aib pull` made."
        )
    return load_exported(folder)
