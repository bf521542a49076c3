"""Loads the model that a command names: a registered model, a study's best, or an exported folder."""

import tempfile
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from orchestrator.registry.pull import load_registered
from orchestrator.study.checkpoint_storage import recorded_storage
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.ranking import best_trials
from orchestrator.study.study import view_study
from orchestrator.tracking.mlflow.store import tracking_uri_or_local
from search_spaces.names import check_name
from trainables.checkpoints.checkpoint import read_state, read_tensors
from trainables.config.trial import TrialConfig
from trainables.errors import CheckpointError, ConfigError
from trainables.export import CONFIG, LoadedModel, export_model, load_exported


def load_model(given: str, root: Path, tracking_uri: str | None) -> LoadedModel:
    """Loads `models:/NAME[@ALIAS | /VERSION]`, an exported folder, or the best model of the study with that name.

    A study's best model is the finalist that it exported for the gate; before the gate, its best trial that ran in
    full. Raises ConfigError if the name is none of these, CheckpointError if the best trial's checkpoint is missing.
    """
    if given.startswith("models:/"):
        return load_registered(tracking_uri_or_local(root, tracking_uri), given)[1]
    paths = _study(given, root)
    for folder in (Path(given), *([paths.folder / "export"] if paths else [])):
        try:
            there = (folder / CONFIG).is_file()
        except OSError:
            # The name is too long for a path, or its folder may not be read.
            there = False
        if there:
            return load_exported(folder)
    if paths is not None and paths.read_stored() is not None:
        return _best_trial(paths)
    raise ConfigError(
        f"'{given[:99]}' is no model; allowed: models:/NAME@ALIAS (see: aib models), a study's name, or a folder made "
        "by `aib pull`."
    )


def _study(given: str, root: Path) -> StudyPaths | None:
    with suppress(ValueError, ConfigError):
        return study_paths(root, check_name(given))
    return None


def _best_trial(paths: StudyPaths) -> LoadedModel:
    """Loads the best epoch of the trial that `aib best` shows first."""
    view = view_study(paths)
    best = next(iter(best_trials(view.spec, list(view.state.trials.values()))), None)
    if best is None:
        raise ConfigError(
            f"the study '{paths.name}' has no model yet: no trial has run to its last epoch within every constraint; "
            f"see: aib trials {paths.name}"
        )
    storage = recorded_storage(view.facts, paths.trials, paths.name)
    with storage.of(best.trial).newest() as checkpoint, tempfile.TemporaryDirectory() as aside:
        if checkpoint is None:
            raise CheckpointError(
                f"trial {best.trial} of the study '{paths.name}' has no complete checkpoint in {storage.place}; "
                "restore it, or give a registered model (see: aib models)."
            )
        facts = {"study": paths.name, "trial_id": best.trial}
        try:
            stored = read_state(checkpoint)
            config, class_names = TrialConfig.from_dict(stored["config"]), stored["data"]["class_names"]
            weights = read_tensors(checkpoint, "best")
            exported = export_model(Path(aside) / "export", weights, config, class_names, best.outcome, facts, "")
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ConfigError, SafetensorError) as error:
            raise CheckpointError(
                f"the checkpoint {checkpoint.name} of trial {best.trial} cannot be loaded ({type(error).__name__}: "
                f"{error}); restore it, or give a registered model (see: aib models)."
            ) from None
        return load_exported(exported)
