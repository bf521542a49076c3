"""A model by what a person calls it: a registered one, a study's best, or a folder on disk."""

from collections.abc import Iterator
from contextlib import suppress
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
    for folder in _candidates(given, root):
        try:
            there = (folder / CONFIG).is_file()
        except OSError:
            # Too long for a path, or in a folder that may not be looked into.
            there = False
        if there:
            return load_exported(folder)
    raise ConfigError(
        f"'{given[:99]}' is no model; allowed: models:/NAME@ALIAS (see: aib models), a study whose finalists are "
        "done, or a folder that `aib pull` made."
    )


def _candidates(given: str, root: Path) -> Iterator[Path]:
    yield Path(given)
    with suppress(ValueError, ConfigError):
        yield study_paths(root, check_name(given)).folder / "export"
