"""Checks the data and pretrained weights that a search needs, before anything starts."""

import math
from pathlib import Path

import torch
from rich.console import Console

from orchestrator.errors import PreflightError
from orchestrator.planning.capacity import Node
from orchestrator.planning.check import Check
from orchestrator.planning.trials import OCCLUDERS, any_maps, probed_trials, resolve_trial
from orchestrator.process.machine import usable_cpus
from orchestrator.study.paths import StudyPaths
from orchestrator.study.study import check_startable, stored_spec
from orchestrator.tracking.records import DatasetInput
from search_spaces.schema import SearchSpec
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import SPLITS, Store, list_prepared, open_store, read_meta, store_folder
from trainables.data.catalog import known_dataset, prepare_command
from trainables.data.embedded import EMBEDDED, prepare_embedded
from trainables.data.splits import Subsets, select
from trainables.data.trainable import check_trainable
from trainables.errors import ConfigError, DataError
from trainables.evaluation import cross_domain
from trainables.evaluation.final_score import occluder_store
from trainables.metrics import cross_domain_metric
from trainables.models.build import assemble
from trainables.models.pretrained import fetch, weight_file

TRAIN_IMAGES = "data.train_images"
BATCH_SIZE = "optim.batch_size"


def check_data(spec: SearchSpec, data_root: Path, console: Console, started: bool = False) -> DatasetInput:
    """Opens the data set and verifies its digest; prepares the embedded data set and downloads weights if missing.

    `started`: the study has begun; whether its images are enough to train on was decided then.
    Raises DataError for a missing, altered or one-class data set, and for a missing weight file. Raises ConfigError for
    an unknown data set or model, where the trial asks for more images than the data set has, and where the training
    images do not fill one batch.
    """
    config, scored = resolve_trial(spec, {}), any_maps(spec)
    assemble(config, num_classes=2)
    fetch(config.model)
    # Looks for missing data sets first: composing the embedded one takes time.
    if config.data.name != EMBEDDED:
        open_store(data_root, config.data.name, config.data.stored_size)
    if scored and config.evaluation.occluder_dataset != EMBEDDED:
        occluder_store(config, data_root)
    prepare_embedded(config, data_root, console.print)
    # Finds damaged images now, not after the last epoch.
    store = open_store(data_root, config.data.name, config.data.stored_size, verify=True)
    if scored:
        occluder_store(config, data_root, verify=True)
    if _cross_domain_prepared(config, data_root):
        open_store(data_root, cross_domain.EVALUATED_ON, config.data.stored_size, verify=True)
    subsets = _selected(spec, store)
    if not started:
        _check_trainable(spec, store)
    return DatasetInput(
        name=store.name,
        digest=store.digest,
        source=f"{store.name} at {store.image_size} px",
        num_train=len(subsets.train),
        num_val=len(subsets.val),
        num_test=len(subsets.test),
    )


def checks(spec: SearchSpec, paths: StudyPaths) -> list[Check]:
    """Returns the checks of data and study folder that `aib plan` prints; writes nothing.

    `spec` is the spec as given, so that a check reports when a fallback occluder data set is used.
    """
    config = resolve_trial(spec, {})
    assemble(config, num_classes=2)
    there = {(meta.name, meta.image_size) for meta in list_prepared(paths.data)}
    wanted = (config.data.name, config.data.stored_size)
    if wanted in there:
        store = open_store(paths.data, *wanted)
        _selected(spec, store)
        if not paths.study_json.exists():
            _check_trainable(spec, store)
        data = Check("data", True, f"{wanted[0]} at {wanted[1]} px is prepared")
    elif wanted[0] == EMBEDDED:
        data = Check("data", True, f"{EMBEDDED} is composed when the search starts")
    else:
        known_dataset(wanted[0])
        data = Check("data", False, f"not prepared yet; run: {prepare_command(*wanted)}")
    found = [data]
    if any_maps(spec):
        asked = config.evaluation.occluder_dataset
        used = resolve_trial(with_occluders(spec, paths, Console(quiet=True)), {}).evaluation.occluder_dataset
        found.append(_occluders_check(config, asked, used, paths.data))
    if config.data.name == cross_domain.TRAINED_ON and not _cross_domain_prepared(config, paths.data):
        found.append(Check("cross-domain", False, _without_cross_domain(config)))
    if config.model.pretrained != "none":
        weights = weight_file(config.model)
        there_text = f"ImageNet weights are in {weights}"
        absent_text = f"ImageNet weights are not in {weights}; the search downloads them when it starts"
        found.append(Check("weights", weights.is_file(), there_text if weights.is_file() else absent_text))
    if paths.study_json.exists():
        found.append(Check("study", False, _existing_study(spec, paths)))
    return found


def _occluders_check(config: TrialConfig, asked: str, used: str, data_root: Path) -> Check:
    if used != asked:
        return Check("occluders", False, _other_occluders(asked, used))
    if used != EMBEDDED:
        try:
            occluder_store(config, data_root)
        except DataError as error:
            return Check("occluders", False, str(error))
    return Check("occluders", True, f"images of {asked}, as {OCCLUDERS} says")


def _existing_study(spec: SearchSpec, paths: StudyPaths) -> str:
    try:
        check_startable(with_occluders(spec, paths, Console(quiet=True)), paths, resume=True)
    except (ConfigError, PreflightError) as error:
        return str(error)
    return f"'{spec.name}' exists in {paths.folder}; --resume continues it"


def _selected(spec: SearchSpec, store: Store) -> Subsets:
    """Returns the trial section's images; raises ConfigError where a trial asks for more than the data set has."""
    if TRAIN_IMAGES in spec.space:
        most = max(probed_trials(spec, TRAIN_IMAGES), key=lambda trial: trial.data.train_images or 0)
        try:
            select(store, most.data)
        except ConfigError as error:
            raise ConfigError(f"space '{TRAIN_IMAGES}': {error}") from None
    return select(store, resolve_trial(spec, {}).data)


def _check_trainable(spec: SearchSpec, store: Store) -> None:
    """Checks the trial with the fewest training images and the largest batch that the search may draw."""
    few, large = (
        probed_trials(spec, key) if key in spec.space else [resolve_trial(spec, {})]
        for key in (TRAIN_IMAGES, BATCH_SIZE)
    )
    fewest = min(few, key=lambda trial: math.inf if trial.data.train_images is None else trial.data.train_images)
    check_trainable(store, fewest.override({BATCH_SIZE: max(trial.optim.batch_size for trial in large)}))


def _cross_domain_prepared(config: TrialConfig, data_root: Path) -> bool:
    """Returns whether the trial's models are scored on STL-10 as well."""
    folder = store_folder(data_root, cross_domain.EVALUATED_ON, config.data.stored_size)
    return config.data.name == cross_domain.TRAINED_ON and read_meta(folder) is not None


def _without_cross_domain(config: TrialConfig) -> str:
    name, size = cross_domain.EVALUATED_ON, config.data.stored_size
    missing = " and ".join(cross_domain_metric(name, split, "") for split in SPLITS)
    return f"{name} at {size} px is not prepared, so {missing} will be missing; run: {prepare_command(name, size)}"


def with_occluders(spec: SearchSpec, paths: StudyPaths, console: Console) -> SearchSpec:
    """Returns the spec with the occluding data set written out; a resumed study keeps its own.

    If SVHN, the paper's occluder, is not prepared and the spec does not name it, the embedded digits replace it; the
    trial's parameters record this. Models without maps have no score and need no occluders.
    """
    if OCCLUDERS in spec.trial or OCCLUDERS in spec.space or not any_maps(spec):
        return spec
    wanted: str = resolve_trial(spec, {}).evaluation.occluder_dataset
    stored = paths.stored()
    if stored is not None:
        wanted = stored_spec(paths, stored).trial.get(OCCLUDERS, wanted)
    elif all(meta.name != wanted for meta in list_prepared(paths.data)):
        console.print(_other_occluders(wanted, EMBEDDED))
        wanted = EMBEDDED
    return SearchSpec.from_dict({**spec.to_dict(), "trial": {**spec.trial, OCCLUDERS: wanted}})


def _other_occluders(asked: str, used: str) -> str:
    return (
        f"images of {used} occlude others in the interpretability score, in the place of {asked}, which is not "
        f"prepared ({OCCLUDERS}); this score departs from the paper's. For the paper's protocol run first: "
        f"{prepare_command(asked, 32)}"
    )


def this_machine() -> Node:
    """Returns the node that a local cluster would have."""
    return Node("local", float(usable_cpus()), float(torch.cuda.device_count()))
